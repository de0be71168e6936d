// A minimal topic broker on the npm package ws: port, user and password as arguments; certificate and key may follow.
// A message is framed once for all members, as socket.io's adapter does it. What a member gets within one turn of the
// event loop is joined: its socket is corked until the turn is over, so that a burst costs one system call per member.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import WebSocket, { Sender, WebSocketServer } from "ws";

const [port, user, password, cert, key] = process.argv.slice(2);
const expected = "Basic " + Buffer.from(`${user}:${password}`).toString("base64");
const topics = new Map();
const corked = new Set();
const server = cert ? createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }) : createServer();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", (request, socket, head) => {
  if (request.headers.authorization !== expected) {
    socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  sockets.handleUpgrade(request, socket, head, (client) => join(client, request.url));
});

function join(client, url) {
  const topic = new URL(url, "http://localhost").searchParams.get("topic") ?? "";
  if (!topics.has(topic)) topics.set(topic, new Set());
  const members = topics.get(topic);
  members.add(client);
  client.on("message", (data, binary) => relay(members, client, framed(data, binary)));
  client.on("close", () => members.delete(client));
  client.on("error", () => client.terminate());
}

function framed(data, binary) {
  const options = { fin: true, rsv1: false, opcode: binary ? 2 : 1, mask: false, readOnly: true };
  return Buffer.concat(Sender.frame(data, options));
}

function relay(members, sender, frame) {
  for (const member of members) {
    if (member === sender || member.readyState !== WebSocket.OPEN) continue;
    cork(member._socket);
    member._socket.write(frame);
  }
}

function cork(socket) {
  if (corked.has(socket)) return;
  if (corked.size === 0) setImmediate(uncorkAll);
  socket.cork();
  corked.add(socket);
}

function uncorkAll() {
  for (const socket of corked) socket.uncork();
  corked.clear();
}

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
