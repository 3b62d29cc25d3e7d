// The drawing page's answers, from the server that it came from.

async function asked(path, options) {
  try {
    const response = await fetch(path, options);
    const said = await response.json();
    return response.ok ? [said, "", false] : [null, said.error, response.status === 503];
  } catch {
    return [null, "The server does not answer. Is it still running?", true];
  }
}

window.pennyweight = {
  models: () => asked("models"),
  async answer(name, canvas) {
    const body = await new Promise((done) => canvas.toBlob(done, "image/png"));
    const headers = { "content-type": "image/png" };
    return asked(`classify?model=${encodeURIComponent(name)}`, { method: "POST", headers, body });
  },
};
