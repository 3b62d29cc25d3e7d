// The drawing page's answers, from the network inside it.
//
// results/page_file.py puts network.js, preparation.js and this into one script: a page on disk can
// import nothing. From the page's console, or a script of one's own, `window.pennyweight` offers
//
//   shape              [height, width, channels] of a picture
//   classes            their names
//   classify(levels)   of height * width * channels levels from 0 to 255, row by row, as the network
//                      learned from them: { logits, probabilities }, a number for each class
//   prepare(canvas)    a square canvas, black on white, as such levels; null where it is empty

const { page, look, description, weights } = JSON.parse(document.getElementById("inside").textContent);
const logitsOf = network(description, floats(atob(weights)));

// Little-endian, whatever the machine is.
function floats(bytes) {
  const view = new DataView(Uint8Array.from(bytes, (each) => each.charCodeAt(0)).buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

const frame = () => new Promise(requestAnimationFrame); // in which others paint, however large the network

window.pennyweight = {
  shape: page.shape,
  classes: page.classes,
  classify(levels) {
    const logits = logitsOf(levels);
    return { logits, probabilities: softmax(logits) };
  },
  prepare(canvas) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return prepare(data.filter((_, i) => i % 4 === 0), canvas.width, page.shape, look);
  },
  models: async () => [page, "", false],
  async answer(_, canvas) {
    await frame();
    const levels = this.prepare(canvas);
    if (!levels) return [{ probabilities: null, seen: null }, "", false];
    return [{ ...this.classify(levels), seen: { shape: page.shape, levels } }, "", false];
  },
};
