// Joins the page with the cell's program, through Jupyter's connection to the kernel. What follows this calls
// ask(state) when the reader changes something.
const root = document.getElementById(about.id);
const says = root.querySelector("[role=status]");
const hint = says.textContent;
const settings = document.getElementById("jupyter-config-data");
const prefix = settings ? JSON.parse(settings.textContent).baseUrl : "/";
const base = new URL(prefix + "api/kernels/" + about.kernel, location);
const name = () => Math.random().toString(36).slice(2) + Date.now().toString(36);
const comm = name();
let socket, ready = false, over = false;
let wanted, asked, waiting, began; // states, as text; the timer of the question that is not answered; its time

function send(type, content) {
  const header = {msg_id: name(), msg_type: type, session: comm, username: "", version: "5.3",
    date: new Date().toISOString()};
  socket.send(JSON.stringify({channel: "shell", header, parent_header: {}, metadata: {}, content, buffers: []}));
}

function post(value) {
  send("comm_msg", {comm_id: comm, data: {address: about.address, value: JSON.stringify(value)}});
}

// There is one question at a time, so the program is never behind what the reader does by more than one answer.
function ask(state) {
  wanted = JSON.stringify(state);
  next();
}

function next() {
  if (!ready || waiting || wanted === asked) return;
  asked = wanted;
  began = performance.now();
  waiting = setTimeout(greet, 4000); // if another page has taken the connection, it is not told
  post({state: JSON.parse(asked)});
}

function answered(html) {
  if (!waiting || html === undefined) return;
  clearTimeout(waiting);
  waiting = undefined;
  root.querySelector(".convbook-answer").innerHTML = html.replace("<div hidden>", "<div>");
  root.dataset.milliseconds = Math.round(performance.now() - began);
  says.textContent = hint;
  next();
}

// The first answers may come before the server listens to them for this page, so it asks again.
function greet() {
  ready = false;
  clearTimeout(waiting);
  if (socket.readyState !== WebSocket.OPEN) return;
  waiting = setTimeout(greet, 1000);
  send("comm_open", {comm_id: comm, target_name: "gonb_comm", kernel_id: about.kernel, data: {}});
}

function hear(message) {
  const {msg_type, content, parent_header} = message;
  if (msg_type === "status" && content.execution_state === "idle" && parent_header.msg_type === "execute_request")
    return end();
  if (content?.transient?.display_id === about.answer) return answered(content.data["text/html"]);
  if (content?.comm_id !== comm) return;
  if (content.data?.address === "#comm_open_ack") {
    ready = true;
    clearTimeout(waiting);
    waiting = asked = undefined;
    next();
  } else if (content.data?.address === "#heartbeat/ping") {
    send("comm_msg", {comm_id: comm, data: {address: "#heartbeat/pong", value: true}});
  }
}

function end() {
  over = true;
  socket?.close();
  for (const control of root.querySelectorAll("input, button")) control.disabled = true;
  says.textContent = "The cell has ended: run it again to go on.";
}

async function connect() {
  let state;
  try {
    const reply = await fetch(base);
    state = reply.ok ? (await reply.json()).execution_state : reply.status;
  } catch { // nobody is there for the moment
  }
  if (state === "idle" || state === 404) return end();
  const url = new URL(base.href + "/channels?session_id=" + name());
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url);
  socket.onopen = greet;
  socket.onmessage = event => { if (typeof event.data === "string") hear(JSON.parse(event.data)); };
  socket.onclose = () => {
    if (over) return;
    ready = false;
    says.textContent = "The connection is lost: trying again.";
    setTimeout(connect, 1000);
  };
}

root.querySelector(".convbook-done").addEventListener("click", () => { if (ready) post({done: true}); });
connect();
