// aedes on one port: `node server.mjs PORT tcp|tls|ws|wss [CERT KEY]`.
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
import { Aedes } from "aedes";
import { WebSocketServer, createWebSocketStream } from "ws";

const [port, transport, cert, key] = process.argv.slice(2);
const aedes = await Aedes.createBroker();
const options = cert ? { cert: readFileSync(cert), key: readFileSync(key) } : {};
const servers = {
  tcp: () => net.createServer({ noDelay: true }, aedes.handle),
  tls: () => tls.createServer({ ...options, noDelay: true }, aedes.handle),
  ws: () => websocket(http.createServer({ noDelay: true })),
  wss: () => websocket(https.createServer({ ...options, noDelay: true })),
};
servers[transport]().listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });

function websocket(server) {
  const sockets = new WebSocketServer({ server, handleProtocols: () => "mqtt" });
  sockets.on("connection", (socket, request) => aedes.handle(createWebSocketStream(socket), request));
  return server;
}
