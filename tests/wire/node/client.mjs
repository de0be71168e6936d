// The ws package in the hands of a test: commands come as JSON lines on stdin, events go out as JSON lines.
//
//   commands  {"send": "text"} {"sendHex": "00ff", "fin": false} {"ping": "00ff"} {"close": 1000, "reason": "done"}
//   events    {"open": extensions} {"text": ...} {"hex": ...} {"pong": "00ff"} {"close": code, "reason": ...}
//             {"refused": status, "body": ...} {"error": ...}

import readline from "node:readline";
import WebSocket from "ws";

const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const socket = new WebSocket(process.argv[2]);

socket.on("open", () => say({ open: socket.extensions }));
socket.on("message", (data, isBinary) => say(isBinary ? { hex: data.toString("hex") } : { text: data.toString() }));
socket.on("pong", (data) => say({ pong: data.toString("hex") }));
socket.on("close", (code, reason) => say({ close: code, reason: reason.toString() }));
socket.on("error", (error) => say({ error: error.message }));
socket.on("unexpected-response", (request, response) => {
  let body = "";
  response.setEncoding("utf8");
  response.on("data", (chunk) => (body += chunk));
  response.on("end", () => say({ refused: response.statusCode, body }));
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  const fin = command.fin ?? true;
  if ("send" in command) socket.send(command.send, { fin });
  if ("sendHex" in command) socket.send(Buffer.from(command.sendHex, "hex"), { fin });
  if ("ping" in command) socket.ping(Buffer.from(command.ping, "hex"));
  if ("close" in command) socket.close(command.close, command.reason);
});
