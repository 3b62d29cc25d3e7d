"""Pictures in folders, one for each class; these lie in `train` and `test`, or there is no test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pennyweight.arch.errors import UsageError
from pennyweight.arch.limits import (
    LARGEST_PICTURE_FILE,
    MOST_PIXELS_LEARNED,
    most_data,
    read_plain,
)
from pennyweight.train.picture_file import open_picture

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
_TESTS = ("test", "val", "validation")

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
    pictures = list(_of_one_size(folder, files))
    if any(picture.ndim == 3 for picture in pictures):
        pictures = [p if p.ndim == 3 else np.repeat(p[..., None], 3, axis=2) for p in pictures]
    images = np.stack(pictures)
    return images if images.ndim == 4 else images[..., None], np.array(
        [path.parent.name for path in files]
    )


def _of_one_size(folder: Path, files: list[Path]) -> Iterator[np.ndarray]:
    """The pictures one by one, checked as they are read: small files may hold large ones."""
    size: tuple[int, ...] = ()
    for path in files:
        picture = _read(path)
        if not size:
            size = picture.shape[:2]
            most = most_data(sum(each.stat().st_size for each in files))
            if (total := len(files) * picture.size) > most:
                raise UsageError(
                    f"{folder} must hold pictures of at most {most:,} bytes in all, unpacked, but "
                    f"holds {total:,}: scale them down."
                )
        if picture.shape[:2] != size:
            raise UsageError(
                f"All pictures must be of one size, but {files[0]} has {size[1]}x{size[0]} pixels "
                f"and {path} {picture.shape[1]}x{picture.shape[0]}: scale them to one."
            )
        yield picture


def _read(path: Path) -> np.ndarray:
    """uint8 (h, w), or (h, w, 3) where there are colours."""
    try:
        content = read_plain(path, LARGEST_PICTURE_FILE)
    except OSError as error:
        raise UsageError(f"{path} must be readable, but: {error.strerror}.") from error
    levels = np.asarray(open_picture(content, str(path), largest=MOST_PIXELS_LEARNED))
    grey = levels.ndim == 3 and (levels == levels[..., :1]).all()
    return levels[..., 0] if grey else levels
