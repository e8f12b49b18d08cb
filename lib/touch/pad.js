// The strokes are lists of x, y, x, y, … in the canvas's pixels.
const canvas = root.querySelector("canvas"), paper = canvas.getContext("2d");
let strokes = [], stroke;

function draw() {
  paper.clearRect(0, 0, canvas.width, canvas.height);
  paper.lineWidth = canvas.width / 12;
  paper.lineCap = paper.lineJoin = "round";
  paper.strokeStyle = "#fff";
  for (const s of strokes) {
    paper.beginPath();
    paper.moveTo(s[0], s[1]);
    for (let i = 0; i < s.length; i += 2) paper.lineTo(s[i], s[i + 1]);
    paper.stroke();
  }
  ask(strokes);
}

function add(event) {
  const scale = canvas.width / canvas.clientWidth;
  stroke.push(Math.round(event.offsetX * scale), Math.round(event.offsetY * scale));
}

canvas.addEventListener("pointerdown", event => {
  if (over) return;
  canvas.setPointerCapture(event.pointerId);
  strokes.push(stroke = []);
  add(event);
  draw();
});
canvas.addEventListener("pointermove", event => {
  if (!stroke || over) return;
  add(event);
  draw();
});
for (const ending of ["pointerup", "pointercancel"]) canvas.addEventListener(ending, () => { stroke = undefined; });
root.querySelector(".convbook-clear").addEventListener("click", () => { strokes = []; draw(); });
draw();
