// A minimal topic broker on the npm package ws: port, user and password as arguments; certificate and key may follow.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { WebSocketServer } from "ws";

const [port, user, password, cert, key] = process.argv.slice(2);
const expected = "Basic " + Buffer.from(`${user}:${password}`).toString("base64");
const topics = new Map();
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
  client.on("message", (data, binary) => {
    for (const member of members) if (member !== client) member.send(data, { binary });
  });
  client.on("close", () => members.delete(client));
  client.on("error", () => client.terminate());
}

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
