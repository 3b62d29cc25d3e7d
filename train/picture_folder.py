"""Pictures in folders, one for each class; these lie in `train` and `test`, or there is no test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.train.picture_file import LARGEST_FILE, open_picture

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_TESTS = ("test", "val", "validation")
_MOST_PIXELS = 4_096**2  # of one picture: what is learned from here is small

Part = tuple[np.ndarray, np.ndarray]


def parts_of(folder: Path) -> tuple[Path, Path | None]:
    """The folders with the training and the test pictures; None where they are not apart."""
    if not (folder / "train").is_dir():
        return folder, None
    tests = (folder / name for name in _TESTS)
    return folder / "train", next((path for path in tests if path.is_dir()), None)


def picture_files(folder: Path) -> list[Path]:
    """Every picture in the folders of the classes, in a fixed order."""
    try:
        classes = sorted(path for path in folder.iterdir() if path.is_dir() and _is_class(path))
        return [
            path
            for each in classes
            for path in sorted(each.iterdir())
            if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        ]
    except OSError as error:
        raise UsageError(f"{folder} must be a folder, but: {error.strerror}.") from error


def _is_class(folder: Path) -> bool:
    """Not what programs leave behind: `.thumbnails`, `__MACOSX`."""
    return not folder.name.startswith((".", "__"))


def read_pictures(folder: Path) -> Part:
    """uint8 (n, h, w, c), grey if all are, and the names of their folders (n,).

    Raises UsageError where there are none, or they are not of one size.
    """
    files = picture_files(folder)
    if not files:
        raise UsageError(
            f"{folder} must hold a folder of pictures ({', '.join(ENDINGS)}) for each class, but "
            "holds none."
        )
    pictures = [_read(path) for path in files]
    size = pictures[0].shape[:2]
    for path, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != size:
            raise UsageError(
                f"All pictures must be of one size, but {files[0]} has {size[1]}x{size[0]} pixels "
                f"and {path} {picture.shape[1]}x{picture.shape[0]}: scale them to one."
            )
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures]
    images = np.stack(pictures)
    return images if images.ndim == 4 else images[..., None], np.array(
        [path.parent.name for path in files]
    )


def _read(path: Path) -> np.ndarray:
    """uint8 (h, w), or (h, w, 3) where there are colours."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path} must be readable, but: {error.strerror}.") from error
    levels = np.asarray(open_picture(content, str(path), largest=_MOST_PIXELS))
    grey = levels.ndim == 3 and (levels == levels[..., :1]).all()
    return levels[..., 0] if grey else levels
