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
    const channels = mean.length;
    const values = [Float32Array.from(levels, (level, i) => (level / 255 - mean[i % channels]) / std[i % channels])];
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

// What makes a step's value of its inputs: the operation, then each function in its place.
function maker(step, named) {
  const kernel = step.kernel && named(step.kernel);
  const operation = {
    convolve: (x) => (step.depthwise ? convolveEach : convolve)(x, step, kernel),
    multiply: (x) => multiply(x, kernel),
    pool: (x) => pool(x, step),
    add: (x, other) => x.map((value, i) => value + other[i]),
    flatten: (x) => x.slice(), // a copy, for what is done in place
    pass: (x) => x.slice(),
  }[step.operation];
  const functions = step.pointwise.map((each) => pointwise(each, named));
  return (...inputs) => {
    const value = operation(...inputs);
    for (const change of functions) change(value);
    return value;
  };
}

// Slides a window of (rows, columns) over the picture. At each place `add` takes every cell that lies
// on the picture into `sums`, one for each output: `from` is where the cell's channels begin in the
// picture, and `cell` its number in the window.
function slide(step, [rows, columns], outputs, first, add) {
  const [height, width, channels] = step.input_shape;
  const { stride, dilation = 1, pads: [top, bottom, left, right] = [0, 0, 0, 0] } = step;
  const [down, across] = typeof stride === "number" ? [stride, stride] : stride;
  const lines = places(height, rows, down, dilation, top, bottom);
  const marks = places(width, columns, across, dilation, left, right);
  const y = new Float32Array(lines.length * marks.length * outputs), sums = new Float64Array(outputs);
  let to = 0;
  for (const line of lines) {
    for (const mark of marks) {
      sums.fill(first);
      for (const [i, row] of line) {
        for (const [j, column] of mark) add(sums, (row * width + column) * channels, i * columns + j);
      }
      y.set(sums, to);
      to += outputs;
    }
  }
  return y;
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
function convolve(x, step, { values, shape }) {
  const [, , inputs, outputs] = shape;
  return slide(step, shape, outputs, 0, (sums, from, cell) => {
    for (let input = 0; input < inputs; input += 1) {
      const value = x[from + input];
      if (value === 0) continue; // as many are after a ReLU: it saves a quarter of the time
      let weight = (cell * inputs + input) * outputs;
      for (let output = 0; output < outputs; output += 1) sums[output] += value * values[weight++];
    }
  });
}

// Each channel by itself, with a kernel (h, w, 1, channels).
function convolveEach(x, step, { values, shape }) {
  const channels = shape[3];
  return slide(step, shape, channels, 0, (sums, from, cell) => {
    for (let c = 0; c < channels; c += 1) sums[c] += x[from + c] * values[cell * channels + c];
  });
}

function pool(x, step) {
  const channels = step.input_shape[2];
  if (step.function === "max") {
    return slide(step, step.window, channels, -Infinity, (sums, from) => {
      for (let c = 0; c < channels; c += 1) sums[c] = Math.max(sums[c], x[from + c]);
    });
  }
  const cells = size(step.window);
  return slide(step, step.window, channels, 0, (sums, from) => {
    for (let c = 0; c < channels; c += 1) sums[c] += x[from + c] / cells;
  });
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
  if (kind === "silu") return (x) => change(x, (value) => value / (1 + Math.exp(-value)));
  if (kind === "rectify") {
    const below = typeof slope === "string" ? named(slope).values[0] : slope;
    return (x) => change(x, (value) => (value >= 0 ? value : below * value));
  }
  const times = scale && named(scale).values, plus = offset && named(offset).values;
  return (x) => {
    const channels = (times ?? plus).length;
    change(x, (value, i) => value * (times ? times[i % channels] : 1) + (plus ? plus[i % channels] : 0));
  };
}

function change(values, by) {
  for (let i = 0; i < values.length; i += 1) values[i] = by(values[i], i);
}
