// The doctor's table: the same mistakes, made with MQTT.js, with rumqttc where a program for it is given, and with ours.
//
//   cargo build -p mqttkit-examples --bin doctor --bin broker && node interop/doctor/table.mjs
//
// writes mqtt-ws-transport/docs/doctor.md. MQTTKIT_BIN_DIR says where the programs are (default target/debug). RUMQTTC
// names a program that takes a URL and a CA file, connects with rumqttc and prints the error of the first attempt;
// without it that column keeps what stands in the file.
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const mqtt = createRequire(path.join(root, "interop/js/package.json"))("mqtt");
const bin = (name) => path.join(path.resolve(root, process.env.MQTTKIT_BIN_DIR ?? "target/debug"), name);
const page = path.join(root, "mqtt-ws-transport/docs/doctor.md");
const dir = mkdtempSync(path.join(os.tmpdir(), "doctor-"));
const file = (name) => path.join(dir, name);
const openssl = (...args) => execFileSync("openssl", args, { cwd: dir, stdio: "ignore" });

// Certificates: a CA, and what it signs for other names and other times.
function certificates() {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key",
    "-out", "ca.pem", "-subj", "/CN=Workshop CA", "-days", "30", "-addext", "basicConstraints=critical,CA:TRUE");
  writeFileSync(file("index.txt"), "");
  writeFileSync(file("serial"), "1000\n");
  writeFileSync(file("ca.cnf"), "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n" +
    "certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n");
  const sign = (name, host, ...days) => {
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}.key`,
      "-out", `${name}.csr`, "-subj", `/CN=${host}`);
    writeFileSync(file(`${name}.ext`), `subjectAltName=DNS:${host}\n`);
    openssl("ca", "-batch", "-config", "ca.cnf", "-in", `${name}.csr`, "-out", `${name}.pem`, "-notext",
      "-extfile", `${name}.ext`, ...days);
  };
  sign("good", "localhost", "-days", "30");
  sign("other", "broker.example", "-days", "30");
  sign("old", "localhost", "-startdate", "20200101000000Z", "-enddate", "20210203000000Z");
}

const running = [];
async function broker(...options) {
  const off = ["tcp", "ws", "tls", "wss"].filter((scheme) => !options.includes(`--${scheme}`));
  const child = spawn(bin("broker"), [...options, ...off.flatMap((scheme) => [`--${scheme}`, "off"])],
    { stdio: ["ignore", "pipe", "ignore"] });
  running.push(child);
  let text = "";
  for await (const chunk of child.stdout) {
    text += chunk;
    const port = /listening \S+ \S+:(\d+)\n/.exec(text);
    if (port) return Number(port[1]);
  }
  throw new Error("the broker did not start");
}
const secure = (scheme, name, ...more) =>
  broker(`--${scheme}`, "127.0.0.1:0", "--cert", file(`${name}.pem`), "--key", file(`${name}.key`), ...more);

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return server.address().port;
}
const web = (status, headers, body) => {
  const answer = (request, response) => response.writeHead(status, headers).end(body);
  return listen(http.createServer(answer).on("upgrade", (request, socket) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`);
  }));
};
async function unanswered() {
  const { createHash } = await import("node:crypto");
  return listen(http.createServer().on("upgrade", (request, socket) => {
    const accept = createHash("sha1").update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      `Sec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`);
    socket.on("error", () => {});
  }));
}
async function closed() {
  const server = net.createServer();
  const port = await listen(server);
  server.close();
  return port;
}

// What a program sees that is written as the manual says.
function mqttjs(url, ca) {
  return new Promise((resolve) => {
    let client;
    const done = (text) => { client?.end(true); resolve(text); };
    const seen = [];
    setTimeout(() => done(seen[0] ?? "(nothing within 6 s)"), 6000);
    try {
      client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 5000, ca: ca && readFileSync(ca) });
      client.on("connect", () => done("connected"));
      client.on("error", (error) => { seen.push(`${error.message || error.code || error}`); });
      client.on("close", () => setTimeout(() => done(seen[0] ?? "(`close`, no error)"), 200));
    } catch (error) {
      done(`throws: ${error.message}`);
    }
  });
}
const run = (program, args) => new Promise((resolve) => {
  execFile(program, args, { timeout: 30000 }, (error, stdout) => resolve(stdout.trim()));
});
async function ours(url, ca) {
  const text = await run(bin("doctor"), ca ? [url, "--cafile", ca] : [url]);
  if (!text.includes("✗")) return "connects: /mqtt is the default path";
  const what = /✗ \S+ +(.*)/.exec(text)?.[1] ?? text;
  const advice = [...text.matchAll(/→ (.*)/g)].map((match) => match[1]);
  return `${what} → ${advice.at(-1)}`;
}

certificates();
const ca = file("ca.pem");
const tcp = await broker("--tcp", "127.0.0.1:0");
const ws = await broker("--ws", "127.0.0.1:0");
const rows = [
  ["no scheme", `localhost:${ws}`],
  ["unknown scheme", `http://localhost:${ws}/mqtt`],
  ["path wrong", `ws://localhost:${ws}/ws`],
  ["path missing", `ws://localhost:${ws}`],
  ["ws to a raw MQTT port", `ws://localhost:${tcp}/mqtt`],
  ["mqtt to a WebSocket port", `mqtt://localhost:${ws}`],
  ["mqtt to a web server", `mqtt://localhost:${await web(200, {}, "hello")}`],
  ["TLS to a plain MQTT port", `mqtts://localhost:${tcp}`, ca],
  ["TLS to a plain WebSocket port", `wss://localhost:${ws}/mqtt`, ca],
  ["plain to a TLS port", `mqtt://localhost:${await secure("tls", "good")}`],
  ["plain WebSocket to a TLS port", `ws://localhost:${await secure("wss", "good")}/mqtt`],
  ["certificate for another name", `wss://localhost:${await secure("wss", "other")}/mqtt`, ca],
  ["certificate expired", `wss://localhost:${await secure("wss", "old")}/mqtt`, ca],
  ["unknown issuer", `wss://localhost:${await secure("wss", "good")}/mqtt`],
  ["client certificate required", `wss://localhost:${await secure("wss", "good", "--client-ca", ca)}/mqtt`, ca],
  ["sub-protocol not answered", `ws://localhost:${await unanswered()}/mqtt`],
  ["redirect", `ws://localhost:${await web(301, { Location: "https://broker.example/mqtt" }, "")}/mqtt`],
  ["401", `ws://localhost:${await web(401, {}, "no token")}/mqtt`],
  ["403", `ws://localhost:${await web(403, {}, "origin not allowed")}/mqtt`],
  ["407", `ws://localhost:${await web(407, {}, "")}/mqtt`],
  ["502", `ws://localhost:${await web(502, {}, "no upstream")}/mqtt`],
  ["captive portal", `ws://localhost:${await web(200, { "Content-Type": "text/html" }, "<html><title>Hotel Wi-Fi</title>")}/mqtt`],
  ["refused", `ws://localhost:${await closed()}/mqtt`],
  ["name not found", "mqtt://no-such-host.invalid"],
];

// What rumqttc printed when it was last asked.
const kept = new Map();
for (const line of readFileSync(page, "utf8").split("\n")) {
  const cells = line.split(" | ");
  if (cells.length === 5) kept.set(cells[0].replace(/^\| /, ""), cells[3].replace(/^`(.*)`$/, "$1"));
}
const tidy = (text) => {
  const clean = text.replaceAll(/\s+/g, " ").replaceAll("|", "/").replaceAll("`", "'").replaceAll(dir, "…");
  return clean.replaceAll(/:\d{4,5}\b/g, ":PORT").replaceAll(/port \d+/g, "port PORT").slice(0, 260);
};
const lines = [];
for (const [mistake, url, trust] of rows) {
  const rumqttc = process.env.RUMQTTC ? await run(process.env.RUMQTTC, trust ? [url, trust] : [url]) : undefined;
  const cells = [await mqttjs(url, trust), rumqttc ?? kept.get(mistake) ?? "", await ours(url, trust)];
  const code = (text) => `\`${tidy(text)}\``;
  lines.push(`| ${mistake} | ${code(url)} | ${cells.map(code).join(" | ")} |`);
  console.log(lines.at(-1));
}
const { version } = createRequire(path.join(root, "interop/js/package.json"))("mqtt/package.json");
writeFileSync(page, `# The doctor's table

What a program prints that makes a classic mistake: with MQTT.js ${version} in node, with rumqttc 0.25, and with the \`doctor\`
program, which is this module. Each printed that for the first attempt. Ports of a URL are written as PORT. The servers are
the \`broker\` program and small web servers; where the peers print "Server unavailable" or a 400, the broker's listener told
them so. Without a scheme MQTT.js takes the
port for the host and connects to its port 1883, so that what it prints depends on the network. Made by \`interop/doctor/table.mjs\` against real servers.

| mistake | URL | MQTT.js | rumqttc | ours |
| --- | --- | --- | --- | --- |
${lines.join("\n")}
`);
for (const child of running) child.kill();
process.exit(0);
