// A minimal topic broker on Bun's publish and subscribe: port, user and password as arguments; certificate and key may follow.
const [port, user, password, cert, key] = process.argv.slice(2);
const expected = "Basic " + btoa(`${user}:${password}`);

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  tls: cert ? { cert: Bun.file(cert), key: Bun.file(key) } : undefined,
  fetch(request, server) {
    if (request.headers.get("authorization") !== expected) return new Response("", { status: 401 });
    const topic = new URL(request.url).searchParams.get("topic") ?? "";
    if (server.upgrade(request, { data: topic })) return undefined;
    return new Response("", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    sendPings: false,
    idleTimeout: 0,
    backpressureLimit: 64 * 1024 * 1024,
    open(socket) {
      socket.subscribe(socket.data);
    },
    message(socket, message) {
      socket.publish(socket.data, message); // to everyone but the sender
    },
  },
});
