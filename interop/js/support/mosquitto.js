// Debian's mosquitto as a foreign broker with a WebSocket listener and a password, for what needs a second opinion.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { background } from './broker.js';

/** Resolves to the URL of its WebSocket listener, which lets in `user` with `password` only. */
export async function startMosquitto(t, { user, password }) {
  const dir = mkdtempSync(path.join(tmpdir(), 'mqttkit-mosquitto-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const passwords = path.join(dir, 'passwords');
  execFileSync('mosquitto_passwd', ['-c', '-b', passwords, user, password], { stdio: 'ignore' });
  const [port, plain] = [await freePort(), await freePort()];
  const config = path.join(dir, 'mosquitto.conf');
  // Version 2.0.11 does not start with a WebSocket listener alone, hence the plain one.
  writeFileSync(config, [`listener ${plain} 127.0.0.1`, `listener ${port} 127.0.0.1`, 'protocol websockets', 'allow_anonymous false', `password_file ${passwords}`,
    `user ${userInfo().username}`, ''].join('\n'));
  background(t, '/usr/sbin/mosquitto', ['-c', config], { stdio: 'ignore' });
  const deadline = Date.now() + 10_000;
  while (!await answers(port)) {
    if (Date.now() > deadline) throw new Error('mosquitto does not listen');
  }
  return `ws://127.0.0.1:${port}/mqtt`;
}

/** A port nobody listens on at this moment. */
export function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => setTimeout(resolve, 20, false));
  });
}
