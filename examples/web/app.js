// The demo page: connect, subscribe, publish and receive with MQTT.js, and say in words what went wrong.
'use strict';
(() => {
  const LIBRARY = [
    { src: './mqtt.min.js' },
    {
      src: 'https://unpkg.com/mqtt@5.16.0/dist/mqtt.min.js',
      integrity: 'sha384-9WWboT9UtuPFRlOLq4FygQkcJxzYcpz8SXGkNyCEXM+44n14xzjNlrRKYZwuF/A6',
    },
  ];
  const MAX_ROWS = 200; // more than a person scrolls through, few enough for a phone
  const MAX_SHOWN = 2000; // characters of one payload
  const MAX_HEX = 256; // bytes of one binary payload
  const CONNECT_TIMEOUT_MS = 10_000;
  const RECONNECT_PERIOD_MS = 2_000;
  const SHORT_LIVED_MS = 5_000; // a connection that ends sooner, this often in a row, is not worth another try
  const MAX_SHORT_LIVED = 3;

  const $ = (id) => document.getElementById(id);
  const state = { client: null, everConnected: false, attempt: 0, refusal: null, connectedAt: 0, shortLived: 0, subscriptions: new Map() };

  // ---- start ------------------------------------------------------------------------------------------------

  $('url').value = defaultUrl();
  $('client-id').value = randomClientId();
  versionChanged();
  $('connect').disabled = true;
  loadLibrary(LIBRARY).then(
    () => { $('connect').disabled = false; },
    () => showError('The MQTT.js library could not be loaded.',
      'Run “npm ci” in examples/web and reload, or connect this device to the internet so that the copy on unpkg.com can be used.'),
  );

  $('connect-form').addEventListener('submit', (event) => { event.preventDefault(); connect(); });
  $('disconnect').addEventListener('click', disconnect);
  $('new-client-id').addEventListener('click', () => { $('client-id').value = randomClientId(); });
  $('version').addEventListener('change', versionChanged);
  $('clean').addEventListener('change', versionChanged);
  $('subscribe-form').addEventListener('submit', (event) => { event.preventDefault(); subscribe(); });
  $('unsubscribe').addEventListener('click', () => unsubscribe($('filter').value.trim()));
  $('publish-form').addEventListener('submit', (event) => { event.preventDefault(); publish(); });
  $('payload').addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); publish(); }
  });
  $('clear').addEventListener('click', clearMessages);
  $('error-close').addEventListener('click', hideError);

  /** Tries each source in turn; the page's own server may not have MQTT.js installed. */
  async function loadLibrary(sources) {
    for (const source of sources) {
      const loaded = await new Promise((resolve) => {
        const script = document.createElement('script');
        if (source.integrity) { script.integrity = source.integrity; script.crossOrigin = 'anonymous'; }
        script.src = source.src;
        script.onload = () => resolve(Boolean(window.mqtt));
        script.onerror = () => resolve(false);
        document.head.append(script);
      });
      if (loaded) return;
    }
    throw new Error('no source of MQTT.js answered');
  }

  function defaultUrl() {
    if (!location.host) return 'ws://localhost:8083/mqtt';
    return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/mqtt`;
  }

  function randomClientId() {
    const bytes = crypto.getRandomValues(new Uint8Array(4));
    return `web-${hex(bytes).replaceAll(' ', '')}`;
  }

  function versionChanged() {
    const v5 = $('version').value === '5';
    $('clean-label').textContent = v5 ? 'Clean start' : 'Clean session';
    $('session-expiry-row').hidden = !v5 || $('clean').checked;
  }

  // ---- connection -------------------------------------------------------------------------------------------

  function connect() {
    hideError();
    notice('');
    const options = readOptions();
    const url = $('url').value.trim();
    const problem = checkUrl(url) ?? checkOptions(options);
    if (problem) return showError(problem.what, problem.fix);

    Object.assign(state, { everConnected: false, attempt: 0, refusal: null, connectedAt: 0, shortLived: 0 });
    forgetSubscriptions();
    setState('connecting');
    let client;
    try {
      client = window.mqtt.connect(url, options);
    } catch (error) {
      setState('offline');
      return showError('The browser refused to open this connection.', error.message);
    }
    state.client = client;
    $('summary').textContent = `${options.clientId || 'a client ID of the broker’s choice'} at ${url}`;
    const current = () => state.client === client; // events of a client that was given up are not for the page
    client.on('connect', (connack) => current() && connected(connack, options));
    client.on('reconnect', () => { if (current()) { state.attempt += 1; setState('reconnecting'); } });
    client.on('disconnect', (packet) => { if (current()) state.refusal = disconnectReason(packet.reasonCode); });
    client.on('error', (error) => { if (current()) state.refusal = connectReason(error) ?? state.refusal; });
    client.on('close', () => current() && closed(url));
    client.on('message', (topic, payload, packet) => current() && received(topic, payload, packet));
  }

  function readOptions() {
    const v5 = $('version').value === '5';
    const clean = $('clean').checked;
    const options = {
      protocolVersion: v5 ? 5 : 4,
      clientId: $('client-id').value.trim(),
      clean,
      keepalive: Number($('keepalive').value),
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: RECONNECT_PERIOD_MS,
    };
    if ($('username').value) options.username = $('username').value;
    if ($('password').value) options.password = $('password').value;
    if (v5 && !clean) options.properties = { sessionExpiryInterval: Number($('session-expiry').value) };
    if ($('will-topic').value.trim()) {
      options.will = {
        topic: $('will-topic').value.trim(),
        payload: $('will-payload').value,
        qos: Number($('will-qos').value),
        retain: $('will-retain').checked,
      };
    }
    return options;
  }

  function connected(connack, options) {
    const again = state.everConnected;
    Object.assign(state, { everConnected: true, attempt: 0, refusal: null, connectedAt: Date.now() });
    setState('connected');
    hideError();
    const assigned = connack.properties?.assignedClientIdentifier;
    if (assigned) $('client-id').value = assigned;
    if (connack.sessionPresent && !again) {
      notice('The broker resumed your earlier session: its subscriptions are still active, although this page does not know their names.');
    } else if (again && !connack.sessionPresent && !options.clean) {
      notice('Reconnected, but the broker had dropped the session: messages sent meanwhile are lost. Subscriptions were made again.');
    } else {
      notice('');
    }
  }

  /** The socket is gone: give up on a connection that never worked or was refused, keep trying one that did. */
  async function closed(url) {
    if (state.connectedAt > 0) {
      state.shortLived = Date.now() - state.connectedAt < SHORT_LIVED_MS ? state.shortLived + 1 : 0;
      state.connectedAt = 0;
      if (state.shortLived === MAX_SHORT_LIVED) {
        state.refusal = { final: true, what: 'The connection breaks soon after each connect.', fix: 'Another client may have the same client ID, so that the two throw each other out: press New for another one.' };
      }
    }
    const { client, everConnected, refusal } = state;
    if (everConnected && !refusal?.final) {
      setState('reconnecting');
      const why = refusal ? `${refusal.what} ` : 'The connection was lost. ';
      notice(`${why}Trying again every ${RECONNECT_PERIOD_MS / 1000} seconds; messages arrive again as soon as the server is back.`);
      return;
    }
    forget();
    client.end(true);
    const { what, fix } = refusal ?? await diagnose(url);
    if (state.client === null) showError(what, fix); // unless a new attempt has begun meanwhile
  }

  function disconnect() {
    const polite = document.body.dataset.state === 'connected'; // DISCONNECT, so that the broker drops the will
    forget()?.end(!polite);
    notice('');
  }

  /** Back to offline; returns the client, for the caller to end. */
  function forget() {
    const { client } = state;
    state.client = null;
    forgetSubscriptions();
    setState('offline');
    return client;
  }

  function setState(name) {
    const words = {
      offline: 'Offline',
      connecting: 'Connecting …',
      connected: 'Connected',
      reconnecting: state.attempt > 0 ? `Reconnecting (try ${state.attempt}) …` : 'Reconnecting …',
    };
    document.body.dataset.state = name;
    $('state').dataset.state = name;
    $('state-text').textContent = words[name];
    const usable = name === 'connected';
    $('connect-fields').disabled = name !== 'offline';
    $('subscribe-fields').disabled = !usable;
    $('publish-fields').disabled = !usable;
    for (const button of $('subscriptions').querySelectorAll('button')) button.disabled = !usable;
    $('connect').hidden = name !== 'offline';
    $('disconnect').hidden = name === 'offline';
    $('disconnect').textContent = usable ? 'Disconnect' : 'Cancel';
    for (const id of ['subscribe-status', 'publish-status']) {
      if (!usable) $(id).textContent = name === 'offline' ? 'Connect first.' : 'Waiting for the connection.';
      else $(id).textContent = '';
    }
  }

  // ---- what went wrong --------------------------------------------------------------------------------------

  /** The mistakes that can be told before anything is sent. */
  function checkUrl(text) {
    let url;
    try {
      url = new URL(text);
    } catch {
      return { what: 'This is not a complete URL.', fix: `Write scheme, host, port and path, for example ${defaultUrl()}.` };
    }
    if (!url.host || ['localhost:', 'broker:'].includes(url.protocol)) {
      return { what: 'The URL has no scheme.', fix: `Put ws:// or wss:// in front, for example ws://${text.replace(/^\/+/, '')}.` };
    }
    if (['mqtt:', 'mqtts:', 'tcp:', 'ssl:'].includes(url.protocol)) {
      return { what: `A browser cannot open ${url.protocol}// connections.`, fix: 'Use ws:// (usually port 8083) or wss:// (usually port 8084) with the path /mqtt.' };
    }
    if (!['ws:', 'wss:'].includes(url.protocol)) {
      return { what: `${url.protocol}// is not a WebSocket scheme.`, fix: 'Use ws:// or, for TLS, wss://.' };
    }
    const local = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
    if (location.protocol === 'https:' && url.protocol === 'ws:' && !local) {
      return { what: 'This page came over https, so the browser allows only encrypted connections.', fix: 'Use wss:// (usually port 8084).' };
    }
    return null;
  }

  function checkOptions({ protocolVersion, clientId, clean, keepalive, username, password, will }) {
    if (!Number.isInteger(keepalive) || keepalive < 0 || keepalive > 65535) {
      return { what: 'Keep alive must be a whole number of seconds from 0 to 65535.', fix: '60 suits most networks; 0 turns it off.' };
    }
    if (!clientId && !clean && protocolVersion === 4) {
      return { what: 'A session that is kept needs a client ID.', fix: 'Enter a client ID or tick “Clean session”.' };
    }
    if (password && !username && protocolVersion === 4) {
      return { what: 'MQTT 3.1.1 knows no password without a username.', fix: 'Enter a username too.' };
    }
    if (will && /[+#]/.test(will.topic)) {
      return { what: 'The topic of the will has a wildcard.', fix: 'Name one topic, without + and #.' };
    }
    return null;
  }

  /**
   * A browser tells a page nothing about why a WebSocket failed, so ask the same address over HTTP: no answer at all,
   * an answer from a web server that is no broker, and our broker's own sentence are three different mistakes.
   */
  async function diagnose(text) {
    const url = new URL(text);
    const http = `${url.protocol === 'wss:' ? 'https' : 'http'}://${url.host}${url.pathname}`;
    const sameOrigin = new URL(http).origin === location.origin;
    const path = `The path is “${url.pathname}”; most brokers want “/mqtt”.`;
    let answer;
    try {
      answer = await fetch(http, { mode: sameOrigin ? 'same-origin' : 'no-cors', cache: 'no-store', signal: AbortSignal.timeout(5_000) });
    } catch {
      const port = { 1883: 'Port 1883 is plain MQTT, which a browser cannot speak: try ws:// and port 8083.', 8883: 'Port 8883 is MQTT over TLS, which a browser cannot speak: try wss:// and port 8084.' }[url.port];
      const tls = url.protocol === 'wss:' ? ` If its certificate is self-signed, open https://${url.host}/ in another tab and accept it first.` : '';
      return { what: `Nothing answers at ${url.host}.`, fix: port ?? `Check that the broker is running and that host and port are right.${tls}` };
    }
    if (sameOrigin && answer.status === 404) {
      return { what: `Wrong path: the server has nothing at “${url.pathname}”.`, fix: 'Brokers usually listen at “/mqtt”.' };
    }
    if (sameOrigin && answer.status === 426) {
      return { what: 'The address is right, but the connection ended before MQTT began.', fix: 'A proxy in between may not forward WebSocket upgrades, or the server is full: its log says more.' };
    }
    return { what: `A web server answers at ${url.host}, but not as MQTT over WebSocket.`, fix: `${path} The port may be wrong, too.` };
  }

  /** Words for an error of MQTT.js; null when it says nothing that the socket's end does not say. */
  function connectReason(error) {
    if (error.message === 'connack timeout') {
      return { final: !state.everConnected, what: `The server did not answer within ${CONNECT_TIMEOUT_MS / 1000} seconds.`, fix: 'Is it an MQTT broker, and is the path right?' };
    }
    if (error.message === 'Keepalive timeout') return { what: 'The server stopped answering.', fix: '' };
    if (typeof error.code !== 'number') return null;
    const known = {
      1: ['The server does not speak this MQTT version.', 'Choose the other version under Options.'],
      2: ['The server refuses this client ID.', 'Press New for another one.'],
      3: ['The server is not available at the moment.', 'Try again later.'],
      4: ['Wrong username or password.', 'Correct them under Options.'],
      5: ['Not authorised.', 'Check username and password under Options, and whether this user may connect.'],
      132: ['The server does not speak this MQTT version.', 'Choose the other version under Options.'],
      133: ['The server refuses this client ID.', 'Press New for another one.'],
      134: ['Wrong username or password.', 'Correct them under Options.'],
      135: ['Not authorised.', 'Check username and password under Options, and whether this user may connect.'],
      136: ['The server is not available at the moment.', 'Try again later.'],
      137: ['The server is busy.', 'Try again later.'],
      138: ['The server has banned this client.', 'Ask whoever runs it.'],
    }[error.code];
    const [what, fix] = known ?? [`The server refused the connection: ${error.message.replace('Connection refused: ', '')}.`, `Its reason code is ${error.code}.`];
    return { final: true, what, fix };
  }

  function disconnectReason(code) {
    if (code === 142) {
      return { final: true, what: 'Another client connected with the same client ID and took over.', fix: 'Press New for another client ID, then connect again.' };
    }
    if (code === 139) return { what: 'The server is shutting down.', fix: '' };
    if (code === 152) return { final: true, what: 'An administrator ended this connection.', fix: '' };
    return { what: `The server ended the connection (reason code ${code ?? 0}).`, fix: '' };
  }

  function showError(what, fix) {
    $('error-what').textContent = what;
    $('error-do').textContent = fix;
    $('error').hidden = false;
    $('error').scrollIntoView({ block: 'nearest' });
  }

  function hideError() {
    $('error').hidden = true;
  }

  function notice(text) {
    $('notice').textContent = text;
    $('notice').hidden = !text;
  }

  // ---- subscribe and publish --------------------------------------------------------------------------------

  function subscribe() {
    const filter = $('filter').value.trim();
    const qos = Number($('subscribe-qos').value);
    const status = $('subscribe-status');
    if (!filter) { status.textContent = 'Enter a topic filter, for example demo/#.'; return; }
    status.textContent = `Subscribing to ${filter} …`;
    state.client.subscribe(filter, { qos }, (error, granted) => {
      if (error) {
        status.textContent = error.message.startsWith('Invalid topic')
          ? `“${filter}” is no valid filter: + stands for one whole level, # only at the end.`
          : `The broker did not accept ${filter}: ${error.message.replace('Subscribe error: ', '')}.`;
        return;
      }
      // MQTT.js sends nothing, and returns nothing, for a filter it holds at this QoS already.
      const given = granted.length > 0 ? granted[0].qos : state.subscriptions.get(filter) ?? qos;
      state.subscriptions.set(filter, given);
      showSubscriptions();
      status.textContent = given < qos ? `Subscribed to ${filter}; the broker grants QoS ${given} only.` : `Subscribed to ${filter} with QoS ${given}.`;
    });
  }

  function unsubscribe(filter) {
    const status = $('subscribe-status');
    if (!filter) { status.textContent = 'Enter the filter to unsubscribe from.'; return; }
    status.textContent = `Unsubscribing from ${filter} …`;
    state.client.unsubscribe(filter, (error, ack) => {
      if (error) { status.textContent = `Not unsubscribed from ${filter}: ${error.message}.`; return; }
      const known = state.subscriptions.delete(filter);
      showSubscriptions();
      const nothing = !known && (ack?.granted?.[0] === 17 || ack?.granted === undefined);
      status.textContent = nothing ? `There was no subscription to ${filter}.` : `Unsubscribed from ${filter}.`;
    });
  }

  function forgetSubscriptions() {
    state.subscriptions.clear();
    showSubscriptions();
  }

  function showSubscriptions() {
    $('subscriptions').replaceChildren(...[...state.subscriptions].map(([filter, qos]) => {
      const remove = element('button', 'icon', '×');
      remove.type = 'button';
      remove.setAttribute('aria-label', `Unsubscribe from ${filter}`);
      remove.addEventListener('click', () => unsubscribe(filter));
      const item = element('li');
      item.append(element('span', 'filter', filter), element('span', '', `QoS ${qos}`), remove);
      return item;
    }));
  }

  function publish() {
    const topic = $('topic').value.trim();
    const qos = Number($('publish-qos').value);
    const status = $('publish-status');
    if (document.body.dataset.state !== 'connected') return;
    if (!topic) { status.textContent = 'Enter a topic, for example demo/hello.'; return; }
    if (/[+#]/.test(topic)) { status.textContent = 'A message goes to one topic: no + and # here.'; return; }
    const started = performance.now();
    status.textContent = `Publishing to ${topic} …`;
    state.client.publish(topic, $('payload').value, { qos, retain: $('retain').checked }, (error) => {
      const took = Math.max(1, Math.round(performance.now() - started));
      if (error) status.textContent = `Not published to ${topic}: ${error.message}.`;
      else status.textContent = qos === 0 ? `Sent to ${topic}.` : `Published to ${topic}: acknowledged after ${took} ms.`;
    });
  }

  // ---- messages ---------------------------------------------------------------------------------------------

  let pending = [];
  let total = 0;
  let timer = 0;

  /** Collects for a moment, so that a fast topic costs one redraw and not one per message. */
  function received(topic, payload, { qos, retain }) {
    total += 1;
    pending.push({ topic, payload, qos, retain, at: new Date() });
    if (pending.length > MAX_ROWS) pending.shift();
    if (!timer) timer = setTimeout(showPending, 50);
  }

  function showPending() {
    timer = 0;
    const list = $('messages');
    list.prepend(...pending.reverse().map(row));
    pending = [];
    while (list.children.length > MAX_ROWS) list.lastElementChild.remove();
    showCount();
  }

  function row({ topic, payload, qos, retain, at }) {
    const meta = element('div', 'meta');
    const time = element('time', '', `${at.toLocaleTimeString([], { hour12: false })}.${String(at.getMilliseconds()).padStart(3, '0')}`);
    time.dateTime = at.toISOString();
    meta.append(element('span', 'topic', topic), element('span', 'badge', `QoS ${qos}`));
    if (retain) meta.append(element('span', 'badge retained', 'retained'));
    meta.append(element('span', 'badge size', bytes(payload.length)), time);
    const item = element('li');
    item.dataset.topic = topic;
    item.append(meta, payloadText(payload));
    return item;
  }

  /** Text as text, anything else as hex; both cut at what a page can show at a glance. */
  function payloadText(payload) {
    if (payload.length === 0) return element('pre', 'none', 'empty');
    const text = decodeText(payload);
    if (text === null) {
      const rest = payload.length > MAX_HEX ? ` … ${bytes(payload.length)} in all` : '';
      const pre = element('pre', 'hex', hex(payload.subarray(0, MAX_HEX)) + rest);
      pre.title = 'binary payload as hex';
      return pre;
    }
    return element('pre', 'text', text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)} … ${bytes(payload.length)} in all` : text);
  }

  function decodeText(payload) {
    try {
      const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload);
      // eslint-disable-next-line no-control-regex
      return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? null : text;
    } catch {
      return null;
    }
  }

  function clearMessages() {
    $('messages').replaceChildren();
    pending = [];
    total = 0;
    showCount();
  }

  function showCount() {
    const rows = $('messages').children.length;
    $('empty').hidden = rows > 0;
    if (total === 0) $('message-count').textContent = 'none yet';
    else $('message-count').textContent = total > rows ? `${total} received, newest ${rows} shown` : `${total} received`;
  }

  function bytes(n) {
    if (n < 1024) return `${n} B`;
    return n < 1024 * 1024 ? `${+(n / 1024).toFixed(1)} KiB` : `${+(n / 1024 / 1024).toFixed(1)} MiB`;
  }

  function hex(data) {
    return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  }

  /** Everything that comes from the network reaches the page as text only. */
  function element(name, className = '', text = '') {
    const node = document.createElement(name);
    if (className) node.className = className;
    node.textContent = text;
    return node;
  }
})();
