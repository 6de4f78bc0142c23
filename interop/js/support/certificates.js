// A certificate authority of the test's own, with a server and a client certificate, made with openssl.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export function certificates(t) {
  const dir = mkdtempSync(path.join(tmpdir(), 'mqttkit-pki-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const file = (name) => path.join(dir, name);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

  const authority = (name) => openssl('req', '-x509', ...key, '-days', '2', '-subj', `/CN=${name}`,
    '-addext', 'basicConstraints=critical,CA:TRUE', '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`));
  const signed = (name, by, extensions) => {
    writeFileSync(file(`${name}.ext`), extensions);
    openssl('req', '-new', ...key, '-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
    openssl('x509', '-req', '-days', '2', '-in', file(`${name}.csr`), '-CA', file(`${by}.pem`), '-CAkey', file(`${by}.key`),
      '-CAcreateserial', '-extfile', file(`${name}.ext`), '-out', file(`${name}.pem`));
  };
  authority('ca');
  authority('stranger-ca');
  signed('server', 'ca', 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n');
  signed('client', 'ca', 'extendedKeyUsage=clientAuth\n');
  signed('stranger', 'stranger-ca', 'extendedKeyUsage=clientAuth\n');
  return { file, pem: (name) => readFileSync(file(`${name}.pem`)), key: (name) => readFileSync(file(`${name}.key`)) };
}
