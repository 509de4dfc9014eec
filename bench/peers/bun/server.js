// The live part of peers/node/server.js on Bun and its own engine. Broadcasts only: nothing is stored here, and no
// database is asked. Configuration by environment: PORT, JWT_SECRET.
import { Server as Engine } from '@socket.io/bun-engine';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Server } from 'socket.io';

const { PORT, JWT_SECRET } = process.env;
const path = '/socket.io/';

const engine = new Engine({ path, cors: { origin: ['http://localhost:5173'], credentials: true } });
const io = new Server();
io.bind(engine);
const feed = io.of('/feed');

// HS256 alone, as cheap as it can be had on Bun: a library would cost it more.
function verify(token) {
  const [header, payload, signature] = (token ?? '').split('.');
  if (JSON.parse(Buffer.from(header, 'base64url')).alg !== 'HS256') throw new Error('alg');
  const wanted = createHmac('sha256', JWT_SECRET).update(`${header}.${payload}`).digest();
  if (!timingSafeEqual(wanted, Buffer.from(signature, 'base64url'))) throw new Error('signature');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  if (!(claims.exp > Date.now() / 1000)) throw new Error('expired');
  return claims;
}

feed.use((socket, next) => {
  try {
    socket.data.user = verify(socket.handshake.auth.token);
    next();
  } catch {
    next(new Error('unauthorized'));
  }
});
feed.on('connection', (socket) => socket.join(`user:${socket.data.user.sub}`));

const answer = (status, body) => Response.json(body, { status });
const isText = (value, max) => typeof value === 'string' && value.length > 0 && value.length <= max;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

async function broadcast(request) {
  const header = request.headers.get('authorization') ?? '';
  let user;
  try {
    user = verify(header.startsWith('Bearer ') ? header.slice(7) : '');
  } catch {
    return answer(401, { status: 401, title: 'Unauthenticated' });
  }
  if (!user.roles?.includes('admin')) return answer(403, { status: 403, title: 'Forbidden' });
  const { namespace = '/feed', event, data } = await request.json();
  if (namespace !== '/feed' || !isText(event, 64) || !isObject(data)) return answer(422, { status: 422 });
  feed.emit(event, data);
  return answer(202, { ok: true });
}

const { websocket, idleTimeout } = engine.handler();
Bun.serve({
  hostname: '127.0.0.1',
  port: Number(PORT),
  idleTimeout,
  websocket,
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === path) return engine.handleRequest(request, server);
    if (pathname === '/readyz') return answer(200, { ok: true });
    if (pathname === '/api/v1/socket/broadcast' && request.method === 'POST') return broadcast(request);
    return answer(404, { status: 404 });
  },
});
process.on('SIGUSR2', () => Bun.gc(true));
process.on('SIGTERM', () => process.exit(0));
