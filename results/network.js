// A deployed network in plain JavaScript: what arch/deployed.py says, over Float32Arrays whose
// channels lie last. It knows nothing of a page.

// A function from uint8 levels (h * w * c, row by row) to a Float32Array of logits.
//
// `description` is what results/deployed_json.py makes; `weights` a Float32Array of all arrays.
export function network({ input_shape, mean, std, steps, arrays }, weights) {
  const named = (name) => {
    const { start, shape } = arrays[name];
    return { values: weights.subarray(start, start + size(shape)), shape };
  };
  const makers = steps.map((step) => maker(step, named));
  return (levels) => {
    if (levels.length !== size(input_shape)) {
      throw new RangeError(`The network takes ${size(input_shape)} levels, but got ${levels.length}.`);
    }
    const channels = mean.length, picture = new Float32Array(levels.length);
    for (let i = 0; i < levels.length; i += 1) picture[i] = (levels[i] / 255 - mean[i % channels]) / std[i % channels];
    const values = [picture];
    steps.forEach(({ inputs }, number) => values.push(makers[number](...inputs.map((i) => values[i]))));
    return values.at(-1);
  };
}

export function softmax(logits) {
  const largest = Math.max(...logits);
  const likely = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = likely.reduce((a, b) => a + b);
  return likely.map((each) => each / sum);
}

const size = (shape) => shape.reduce((a, b) => a * b, 1);

// What makes a step's value of its inputs: the operation, then each function in its place. What does
// not depend on the picture is laid out here, once.
function maker(step, named) {
  const kernel = step.kernel && named(step.kernel);
  const operation = {
    convolve: () => (step.depthwise ? convolveEach : convolve)(step, kernel),
    multiply: () => (x) => multiply(x, kernel),
    pool: () => pool(step),
    shift: () => shift(step),
    add: () => (x, other) => x.map((value, i) => value + other[i]),
    flatten: () => (x) => x.slice(), // a copy, for what is done in place
    pass: () => (x) => x.slice(),
  }[step.operation]();
  const functions = step.pointwise.map((each) => pointwise(each, named));
  return (...inputs) => {
    const value = operation(...inputs);
    for (const change of functions) change(value);
    return value;
  };
}

// Slides a window of (rows, columns) over the picture. Gives for each place the cells that lie on the
// picture, two numbers each: where the cell's channels begin in the picture, and those of its weights
// in the kernel, `weights` numbers for a cell.
function slide(step, [rows, columns], weights) {
  const [height, width, channels] = step.input_shape;
  const { stride, dilation = 1, pads: [top, bottom, left, right] = [0, 0, 0, 0] } = step;
  const [down, across] = typeof stride === "number" ? [stride, stride] : stride;
  const lines = places(height, rows, down, dilation, top, bottom);
  const marks = places(width, columns, across, dilation, left, right);
  const cell = ([i, row], [j, column]) => [(row * width + column) * channels, (i * columns + j) * weights];
  return lines.flatMap((line) =>
    marks.map((mark) => Int32Array.from(line.flatMap((at) => mark.flatMap((on) => cell(at, on))))),
  );
}

// For each place of a window on a side: (cell of the window, cell of the side) where both are.
function places(side, window, stride, dilation, before, after) {
  const count = Math.floor((before + side + after - (window - 1) * dilation - 1) / stride) + 1;
  return Array.from({ length: count }, (_, place) =>
    Array.from({ length: window }, (_, cell) => [cell, place * stride + cell * dilation - before])
      .filter(([, at]) => at >= 0 && at < side),
  );
}

// With a kernel (h, w, inputs, outputs).
function convolve(step, { values, shape }) {
  const [rows, columns, inputs, outputs] = shape;
  const wide = 4 * Math.ceil(outputs / 4);
  const kernel = new Float32Array(rows * columns * inputs * wide); // its rows filled up with zeros
  for (let row = 0; row < rows * columns * inputs; row += 1) {
    kernel.set(values.subarray(row * outputs, (row + 1) * outputs), row * wide);
  }
  const cells = slide(step, shape, inputs * wide);
  return (x) => {
    const y = new Float32Array(cells.length * outputs);
    cells.forEach((on, place) => sumCells(x, on, kernel, inputs, wide, y.subarray(place * outputs, (place + 1) * outputs)));
    return y;
  };
}

// The outputs `y` of one place: of four at a time the sums stay in registers.
function sumCells(x, on, kernel, inputs, wide, y) {
  for (let output = 0; output < wide; output += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let cell = 0; cell < on.length; cell += 2) {
      const end = on[cell] + inputs;
      let weight = on[cell + 1] + output;
      for (let from = on[cell]; from < end; from += 1, weight += wide) {
        const value = x[from];
        a += value * kernel[weight];
        b += value * kernel[weight + 1];
        c += value * kernel[weight + 2];
        d += value * kernel[weight + 3];
      }
    }
    y[output] = a; // what lies beyond the last output is not written
    y[output + 1] = b;
    y[output + 2] = c;
    y[output + 3] = d;
  }
}

// Each channel by itself, with a kernel (h, w, 1, channels).
function convolveEach(step, { values, shape }) {
  const channels = shape[3], cells = slide(step, shape, channels);
  return (x) => {
    const y = new Float32Array(cells.length * channels);
    for (let place = 0, to = 0; place < cells.length; place += 1) {
      const on = cells[place];
      for (let c = 0; c < channels; c += 1) {
        let sum = 0;
        for (let cell = 0; cell < on.length; cell += 2) sum += x[on[cell] + c] * values[on[cell + 1] + c];
        y[to++] = sum;
      }
    }
    return y;
  };
}

function pool(step) {
  const channels = step.input_shape[2], largest = step.function === "max", count = size(step.window);
  const cells = slide(step, step.window, 0);
  return (x) => {
    const y = new Float32Array(cells.length * channels);
    for (let place = 0, to = 0; place < cells.length; place += 1) {
      const on = cells[place];
      for (let c = 0; c < channels; c += 1) {
        let sum = largest ? -Infinity : 0;
        for (let cell = 0; cell < on.length; cell += 2) {
          const value = x[on[cell] + c];
          sum = largest ? Math.max(sum, value) : sum + value / count;
        }
        y[to++] = sum;
      }
    }
    return y;
  };
}

// Moved by so many pixels, whose edges repeat.
function shift({ input_shape: [height, width, channels], down, right }) {
  const inside = (at, size) => Math.min(Math.max(at, 0), size - 1);
  const from = Int32Array.from({ length: height * width * channels }, (_, i) => {
    const pixel = Math.floor(i / channels), row = Math.floor(pixel / width), column = pixel % width;
    return (inside(row - down, height) * width + inside(column - right, width)) * channels + (i % channels);
  });
  return (x) => Float32Array.from(from, (at) => x[at]);
}

function multiply(x, { values, shape: [inputs, outputs] }) {
  const sums = new Float64Array(outputs);
  for (let input = 0, weight = 0; input < inputs; input += 1) {
    for (let output = 0; output < outputs; output += 1) sums[output] += x[input] * values[weight++];
  }
  return Float32Array.from(sums);
}

// Functions of each value by itself, in its place.
function pointwise({ function: kind, scale, offset, slope }, named) {
  if (kind === "silu") {
    return (x) => {
      for (let i = 0; i < x.length; i += 1) x[i] /= 1 + Math.exp(-x[i]);
    };
  }
  if (kind === "rectify") {
    const below = typeof slope === "string" ? named(slope).values[0] : slope;
    return (x) => {
      for (let i = 0; i < x.length; i += 1) if (x[i] < 0) x[i] *= below;
    };
  }
  if (typeof scale === "number") { // one for all
    return (x) => {
      for (let i = 0; i < x.length; i += 1) x[i] *= scale;
    };
  }
  const times = scale && named(scale).values, plus = offset && named(offset).values;
  const channels = (times ?? plus).length;
  return (x) => {
    for (let i = 0; i < x.length; ) {
      for (let c = 0; c < channels; c += 1, i += 1) x[i] = x[i] * (times ? times[c] : 1) + (plus ? plus[c] : 0);
    }
  };
}
