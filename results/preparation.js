// A drawing made to look like the pictures that a network learned from: what results/preparation.py
// does to any picture, step by step, for one that is black on white and clean. Constants and names
// are those of that file.

const SPECK = 0.02; // of the largest piece of ink: smaller pieces are dirt
const THIN = 0.7; // of the strokes that were learned: thinner ones are made thicker

// The drawing as the network sees it, uint8 levels (h * w * c); null where nothing is drawn.
//
// `grey` are the levels of a drawing of `side` times `side` pixels; a `look` is that of train/look.py,
// or null, and then the whole drawing fills the picture.
export function prepare(grey, side, [height, width, channels], look) {
  if (grey.every((level) => level === grey[0])) return null;
  if (!look) return filling(grey, side, [height, width, channels]);
  const found = inkOf({ values: Float64Array.from(grey, (level) => 1 - level / 255), height: side, width: side });
  if (!found) return null;
  const ink = thickened(cropped(found), look);
  const scale = look.extent * Math.min(height / ink.height, width / ink.width);
  const small = resized(
    ink, Math.max(1, round(ink.height * scale)), Math.max(1, round(ink.width * scale)), scale < 1 ? box : tent,
  );
  const full = small.values.reduce((most, value) => Math.max(most, value), 1e-9);
  const levels = new Uint8Array(height * width).fill(look.light ? 0 : 255);
  const [top, left] = placed(small, [height, width], look);
  for (let y = 0; y < small.height; y += 1) {
    for (let x = 0; x < small.width; x += 1) {
      const level = (small.values[y * small.width + x] / full) * 255;
      levels[(top + y) * width + left + x] = round(look.light ? level : 255 - level);
    }
  }
  return levels;
}

// Its middle, in the proportions of the picture.
function filling(grey, side, [height, width, channels]) {
  const [across, down] = [Math.min(side, (side * width) / height), Math.min(side, (side * height) / width)];
  const whole = { values: grey, height: side, width: side };
  const small = resized(whole, height, width, box, [(side - down) / 2, down], [(side - across) / 2, across], Math.round);
  return Uint8Array.from({ length: height * width * channels }, (_, i) => small.values[Math.floor(i / channels)]);
}

// Without specks, and with the soft edge of what is left; null where nothing is left.
function inkOf({ values, height, width }) {
  const pieces = piecesOf(values, height, width);
  const largest = Math.max(0, ...pieces.map((piece) => piece.length));
  const kept = new Float64Array(values.length);
  for (const piece of pieces.filter(({ length }) => length >= SPECK * largest)) {
    for (const at of piece) for (const near of around(at, height, width)) kept[near] = values[near];
  }
  return largest ? { values: kept, height, width } : null;
}

// The pixels of each piece of ink that hangs together; corners touch.
function piecesOf(values, height, width) {
  const seen = new Uint8Array(values.length), pieces = [];
  for (let start = 0; start < values.length; start += 1) {
    if (seen[start] || values[start] <= 0.5) continue;
    seen[start] = 1;
    const piece = [start];
    for (const at of piece) { // which grows meanwhile
      for (const near of around(at, height, width)) {
        if (seen[near] || values[near] <= 0.5) continue;
        seen[near] = 1;
        piece.push(near);
      }
    }
    pieces.push(piece);
  }
  return pieces;
}

// A pixel and its eight neighbours, as far as they are there.
function around(at, height, width) {
  const near = [], row = Math.floor(at / width), column = at % width;
  for (let y = Math.max(0, row - 1); y <= Math.min(height - 1, row + 1); y += 1) {
    for (let x = Math.max(0, column - 1); x <= Math.min(width - 1, column + 1); x += 1) near.push(y * width + x);
  }
  return near;
}

function cropped({ values, height, width }) {
  let [top, bottom, left, right] = [height, 0, width, 0];
  values.forEach((value, at) => {
    if (value <= 0.5) return;
    const y = Math.floor(at / width), x = at % width;
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
  });
  return copied({ values, width }, [top, left], bottom - top, right - left);
}

// A part of a picture that begins there; what is outside of it is empty.
function copied({ values, width, height = values.length / width }, [top, left], rows, columns) {
  const part = new Float64Array(rows * columns);
  for (let y = Math.max(0, -top); y < Math.min(rows, height - top); y += 1) {
    for (let x = Math.max(0, -left); x < Math.min(columns, width - left); x += 1) {
      part[y * columns + x] = values[(top + y) * width + left + x];
    }
  }
  return { values: part, height: rows, width: columns };
}

// Lines much thinner than those that were learned would fade when scaled down.
function thickened(ink, look) {
  const missing = THIN * look.stroke * Math.max(ink.height, ink.width) - thickness(ink);
  if (missing < 1) return ink;
  const reach = Math.ceil(missing / 2);
  const large = copied(ink, [-reach, -reach], ink.height + 2 * reach, ink.width + 2 * reach);
  const values = new Float64Array(large.values.length);
  large.values.forEach((value, at) => {
    if (!value) return;
    for (let y = -reach; y <= reach; y += 1) {
      for (let x = -reach; x <= reach; x += 1) {
        if (x * x + y * y > reach * reach + 1) continue;
        const to = at + y * large.width + x;
        values[to] = Math.max(values[to], value);
      }
    }
  });
  return { ...large, values };
}

// How thick the lines are, in pixels: twice the area by the outline.
function thickness({ values, height, width }) {
  const inked = (y, x) => y >= 0 && y < height && x >= 0 && x < width && values[y * width + x] > 0.5;
  let area = 0, outline = 0;
  for (let y = 0; y <= height; y += 1) {
    for (let x = 0; x <= width; x += 1) {
      const here = inked(y, x);
      area += here;
      outline += (here !== inked(y - 1, x)) + (here !== inked(y, x - 1));
    }
  }
  return outline ? (2 * area) / outline : 0;
}

// Where small ink goes in a picture: its mass or its box in the middle, and nothing cut off.
function placed({ values, height, width }, [rows, columns], look) {
  let [mass, down, across] = [0, 0, 0];
  values.forEach((value, at) => {
    mass += value;
    down += value * Math.floor(at / width);
    across += value * (at % width);
  });
  const byMass = look.centre === "mass";
  return [[rows, height, down], [columns, width, across]].map(([whole, part, moment]) => {
    const middle = byMass ? moment / mass : (part - 1) / 2;
    const start = Number(((whole - 1) / 2 - middle).toFixed(4));
    return Math.min(Math.max(round(start), 0), whole - part);
  });
}

// Pillow's resampling (its Resample.c), with its filters BOX and BILINEAR.
const box = { reach: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
const tent = { reach: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

// Rows and columns may be those of a part: (where it begins, how long it is).
function resized(
  { values, height, width }, rows, columns, filter, down = [0, height], across = [0, width], finish = (value) => value,
) {
  const wide = new Float64Array(height * columns), small = new Float64Array(rows * columns);
  weightsOf(columns, width, filter, across).forEach((weights, x) => {
    for (let y = 0; y < height; y += 1) {
      let sum = 0;
      for (const [from, weight] of weights) sum += weight * values[y * width + from];
      wide[y * columns + x] = finish(sum);
    }
  });
  weightsOf(rows, height, filter, down).forEach((weights, y) => {
    for (let x = 0; x < columns; x += 1) {
      let sum = 0;
      for (const [from, weight] of weights) sum += weight * wide[from * columns + x];
      small[y * columns + x] = finish(sum);
    }
  });
  return { values: small, height: rows, width: columns };
}

// For each of `count` pixels, the pixels of a side that it is made of, and how much each counts.
function weightsOf(count, side, { reach, weight }, [start, length]) {
  const scale = length / count, wider = Math.max(scale, 1);
  return Array.from({ length: count }, (_, place) => {
    const centre = start + (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach * wider + 0.5));
    const end = Math.min(side, Math.trunc(centre + reach * wider + 0.5));
    const weights = [];
    for (let at = first; at < end; at += 1) weights.push([at, weight((at - centre + 0.5) / wider)]);
    const sum = weights.reduce((total, [, each]) => total + each, 0);
    return weights.map(([at, each]) => [at, each / sum]);
  });
}

// As Python has it: halves to the even number.
function round(value) {
  const near = Math.round(value);
  return Math.abs(value % 1) === 0.5 && near % 2 ? near - 1 : near;
}
