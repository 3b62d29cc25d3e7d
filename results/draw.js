// The drawing page: strokes on a sheet, and what the model chosen says of them while they are drawn.
//
// A stroke is {pen, points}: points run from 0 to 1 over the sheet, and the pen's width is a share of
// its side. Every change counts up `drawn`; one question at a time carries the newest picture.
//
// Whoever answers is `window.pennyweight`: the server (draw_server.js), or the network in a page of its
// own (draw_inside.js). `models()` tells what there is, and `answer(name, canvas)` what the model of that
// name says of the canvas. Both promise [what was asked for, what went wrong, whether to try again].

const SENT = 192; // pixels a side: nobody looks closer at what becomes 28
const FEW = 12; // classes that are shown all, in their own order; of more, the likeliest
const SHOWN = 10;
const SLOW_MS = 400; // a longer wait shows

const at = (id) => document.getElementById(id);
const paper = at("paper"), bars = at("bars"), pen = at("pen");
const sent = Object.assign(document.createElement("canvas"), { width: SENT, height: SENT });

let strokes = [];
const before = []; // what `strokes` was, for undo
let drawn = 0; // changes so far
let pointer = null; // the id of the one that draws
let cursor = null; // the keyboard's pen: {x, y, down}
let about = null; // what is told of the models
let model = null; // the name of the one chosen

// Drawing

function change(next) {
  before.push(strokes);
  strokes = next;
  touched();
}

function touched() {
  drawn += 1;
  bars.setAttribute("aria-busy", "true");
  at("undo").disabled = !before.length;
  at("clear").disabled = !strokes.length;
  at("invitation").hidden = strokes.length > 0 || cursor !== null;
  requestAnimationFrame(render);
  ask();
}

function begin(point) {
  change([...strokes, { pen: pen.value / 100, points: [point] }]);
}

function extend(points) {
  strokes.at(-1).points.push(...points);
  touched();
}

function undo() {
  if (!before.length) return;
  lift();
  strokes = before.pop();
  touched();
}

function clear() {
  lift();
  if (strokes.length) change([]);
}

function lift() {
  pointer = null;
  if (cursor) cursor.down = false;
}

// Through the middles between points, so that few points make no corners.
function trace(context, side) {
  context.lineCap = context.lineJoin = "round";
  for (const { pen, points } of strokes) {
    const [first, ...rest] = points.map(([x, y]) => [x * side, y * side]);
    context.lineWidth = pen * side;
    context.beginPath();
    context.moveTo(...first);
    let last = first;
    for (const next of rest) {
      context.quadraticCurveTo(...last, (last[0] + next[0]) / 2, (last[1] + next[1]) / 2);
      last = next;
    }
    context.lineTo(...last);
    context.stroke();
  }
}

function render() {
  const context = paper.getContext("2d"), side = paper.width;
  context.clearRect(0, 0, side, side);
  context.strokeStyle = getComputedStyle(paper).color;
  trace(context, side);
  if (!cursor) return;
  context.lineWidth = side / 200;
  context.strokeStyle = getComputedStyle(paper).getPropertyValue("--accent");
  context.beginPath();
  context.arc(cursor.x * side, cursor.y * side, (side * pen.value) / 200 + side / 100, 0, 7);
  context.stroke();
  if (cursor.down) {
    context.fillStyle = context.strokeStyle;
    context.fill();
  }
}

function picture() {
  const context = sent.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, SENT, SENT);
  context.strokeStyle = "black";
  trace(context, SENT);
  return sent;
}

// Mouse, pen and touch

function place(event) {
  const box = paper.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

paper.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  paper.setPointerCapture(pointer);
  cursor = null;
  begin(place(event));
});

paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer) return;
  const all = event.getCoalescedEvents?.() ?? [];
  extend((all.length ? all : [event]).map(place));
});

for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
  paper.addEventListener(kind, (event) => {
    if (event.pointerId === pointer) pointer = null;
  });
}

// Keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set();

paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const steers = event.key in ARROWS;
  if (!steers && event.key !== " ") return;
  event.preventDefault();
  if (pointer !== null) return;
  cursor ??= { x: 0.5, y: 0.2, down: false };
  if (steers) {
    held.add(event.key); // two arrows together go aslant
    const step = event.shiftKey ? 0.01 : 0.04;
    for (const key of held) {
      cursor.x = Math.min(1, Math.max(0, cursor.x + ARROWS[key][0] * step));
      cursor.y = Math.min(1, Math.max(0, cursor.y + ARROWS[key][1] * step));
    }
    if (cursor.down) extend([[cursor.x, cursor.y]]);
  } else if (!event.repeat) {
    cursor.down = !cursor.down;
    if (cursor.down) begin([cursor.x, cursor.y]);
  }
  at("invitation").hidden = true;
  requestAnimationFrame(render);
});
paper.addEventListener("keyup", (event) => held.delete(event.key));
paper.addEventListener("focus", () => {
  if (!paper.matches(":focus-visible")) return;
  cursor ??= { x: 0.5, y: 0.2, down: false };
  requestAnimationFrame(render);
});
paper.addEventListener("blur", () => {
  held.clear();
  cursor = null;
  at("invitation").hidden = strokes.length > 0;
  requestAnimationFrame(render);
});

document.addEventListener("keydown", (event) => {
  const undoes = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z";
  const clears = ["Delete", "Backspace", "Escape"].includes(event.key);
  if (!undoes && !clears) return;
  event.preventDefault();
  if (undoes) undo();
  else if (event.key === "Escape" && cursor?.down) lift();
  else clear();
  requestAnimationFrame(render);
});
at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
pen.addEventListener("input", () => requestAnimationFrame(render));

// Asking

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
let asking = false;

async function ask() {
  if (asking || !about) return;
  asking = true;
  for (let answered = -1; answered !== drawn; ) {
    const asked = drawn;
    const slow = setTimeout(() => bars.classList.add("waiting"), SLOW_MS);
    const [answer, problem, again] = await pennyweight.answer(model, picture());
    clearTimeout(slow);
    bars.classList.remove("waiting");
    notice(problem);
    if (answer) show(strokes.length ? answer : { probabilities: null, seen: null });
    if (again) await pause(1000);
    else answered = asked;
  }
  asking = false;
  bars.setAttribute("aria-busy", "false");
}

function notice(problem) {
  at("notice").textContent = problem;
  at("notice").hidden = !problem;
}

// Showing

const percent = (share) => `${Math.round(share * 100)}%`;

function show({ probabilities, seen }) {
  const classes = about.classes;
  const order = classes.map((_, index) => index);
  const share = probabilities ?? classes.map(() => 0);
  const ranked = order.toSorted((a, b) => share[b] - share[a]);
  const rows = classes.length <= FEW ? order : ranked.slice(0, SHOWN);
  rows.forEach((index, row) => {
    const item = bars.children[row], [name, track, number] = item.children;
    name.textContent = name.title = classes[index];
    track.firstChild.style.transform = `translateX(${(share[index] - 1) * 101}%)`;
    number.textContent = probabilities ? percent(share[index]) : "";
    item.classList.toggle("likeliest", probabilities !== null && index === ranked[0]);
  });
  at("guess").textContent = probabilities ? classes[ranked[0]] : "–";
  at("guess").parentElement.classList.toggle("resting", !probabilities);
  at("sure").textContent = probabilities ? percent(share[ranked[0]]) : "";
  showSeen(seen);
  say(probabilities ? ranked.slice(0, 2).map((i) => `${classes[i]}, ${percent(share[i])}`) : []);
}

function showSeen(seen) {
  const canvas = at("seen"), [height, width, channels] = seen?.shape ?? about.shape;
  Object.assign(canvas, { width, height }); // which empties it
  canvas.setAttribute("aria-label", seen ? `The drawing in ${width} by ${height} pixels` : "Nothing yet");
  if (!seen) return;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    for (let part = 0; part < 3; part += 1) {
      image.data[4 * pixel + part] = seen.levels[channels * pixel + (channels === 1 ? 0 : part)];
    }
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Spoken once the hand rests: the bars change too often to be read aloud.
let speech = 0;
function say(likeliest) {
  clearTimeout(speech);
  speech = setTimeout(() => {
    at("spoken").textContent = likeliest.length ? `${likeliest.join("; then ")}.` : "Nothing drawn.";
  }, 700);
}

// Models

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function offer({ models }) {
  const largest = Math.max(...models.map(({ params }) => params));
  for (const { name, notation, params, accuracy, measured_on } of models) {
    const input = element("input", { type: "radio", name: "model", value: name, checked: name === model });
    input.addEventListener("change", () => {
      model = name;
      touched();
    });
    const reached = accuracy === null ? "not measured" : `${(accuracy * 100).toFixed(2)}% on ${measured_on}`;
    const weight = element("i");
    weight.style.setProperty("--weight", `${(params / largest) * 100}%`);
    const size = element("strong", { textContent: params.toLocaleString("en") });
    const label = element("label", { title: `${name}: ${notation}` }, input, size, " parameters");
    label.append(element("small", { textContent: reached }), weight);
    at("models").append(label);
  }
}

function layOut({ data, classes, shape: [height, width], models }) {
  at("about").textContent = `what the model learned from: ${data}`;
  at("network").textContent = models.length === 1 ? models[0].notation : "";
  at("size").textContent = `, ${width}×${height}`;
  at("seen").style.aspectRatio = `${width} / ${height}`;
  bars.classList.toggle("named", classes.some((name) => name.length > 2));
  for (let row = 0; row < (classes.length <= FEW ? classes.length : SHOWN); row += 1) {
    const track = element("div", { className: "track" }, element("div", { className: "fill" }));
    const name = element("span", { className: "name" });
    bars.append(element("li", {}, name, track, element("span", { className: "percent" })));
  }
}

async function open() {
  for (;;) {
    const [told, problem] = await pennyweight.models();
    notice(problem);
    about = told;
    if (about) break;
    await pause(1000);
  }
  model = about.named;
  layOut(about);
  offer(about);
  show({ probabilities: null, seen: null });
  ask();
}

new ResizeObserver(() => {
  paper.width = paper.height = Math.round(paper.clientWidth * devicePixelRatio);
  render();
}).observe(paper);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
open();
