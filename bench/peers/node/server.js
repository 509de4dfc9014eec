// The small server that the benchmarks run beside Callboard: Express for REST, pg for PostgreSQL, socket.io for the
// live part. It does what Callboard's first cut does for the same calls and no more. Configuration by environment:
// PORT, DATABASE_URL, JWT_SECRET, and STYLE: "plain" is the server as the libraries' introductions would have it;
// unset, three things that cost Node most have been taken out of it (the secret, the etag, the store).
import { createSecretKey } from 'node:crypto';
import { createServer } from 'node:http';
import express from 'express';
import jwt from 'jsonwebtoken';
import { Server } from 'socket.io';
import { PlainStore } from './plain.js';
import { Store } from './store.js';

const { PORT, DATABASE_URL, JWT_SECRET, STYLE } = process.env;
const plain = STYLE === 'plain';
// Given a string, jsonwebtoken first tries at each call whether it is a public key, and fails: 400 µs on Node 20.
const key = plain ? JWT_SECRET : createSecretKey(Buffer.from(JWT_SECRET));
const verify = (token) => jwt.verify(token, key, { algorithms: ['HS256'] });

const store = new (plain ? PlainStore : Store)(DATABASE_URL);
await store.migrate();

const app = express();
app.disable('x-powered-by');
if (!plain) app.set('etag', false); // a hash over every body, which Callboard does not compute either
const http = createServer({ keepAliveTimeout: 60_000 }, app);
const io = new Server(http, {
  serveClient: false,
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  cors: { origin: ['http://localhost:5173'], credentials: true },
});
const feed = io.of('/feed');

feed.use((socket, next) => {
  try {
    socket.data.user = verify(socket.handshake.auth.token);
    next();
  } catch {
    next(new Error('unauthorized'));
  }
});
feed.on('connection', (socket) => socket.join(room(socket.data.user.sub)));

const room = (userId) => `user:${userId}`;

function payload(row) {
  return {
    id: row.id,
    type: row.type,
    title: row.title,
    message: row.message,
    data: row.data,
    priority: row.priority,
    actor: row.actor,
    resource: row.resource_type ? { type: row.resource_type, id: row.resource_id } : null,
    group_key: row.group_key,
    created_at: row.created_at,
    expires_at: row.expires_at,
    read_at: row.read_at ?? null,
    seen_at: row.seen_at ?? null,
    archived_at: row.archived_at ?? null,
    revision: row.revision ?? 1,
  };
}

function problem(response, status, title) {
  response.status(status).type('application/problem+json').send(JSON.stringify({ status, title }));
}

function authenticate(request, response, next) {
  const header = request.headers.authorization ?? '';
  try {
    request.user = verify(header.startsWith('Bearer ') ? header.slice(7) : '');
  } catch {
    return problem(response, 401, 'Unauthenticated');
  }
  next();
}

function admin(request, response, next) {
  if (!request.user.roles?.includes('admin')) return problem(response, 403, 'Forbidden');
  next();
}

const isText = (value, max) => typeof value === 'string' && value.length > 0 && value.length <= max;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function isNotification({ type, title, message, data = {} }) {
  return isText(type, 64) && isText(title, 200) && isText(message, 5000) && isObject(data);
}

const api = express.Router();
api.use(express.json({ limit: '1mb' }), authenticate);

api.post('/notifications', admin, async (request, response) => {
  const { user_id: userId } = request.body;
  if (!isText(userId, 128) || !isNotification(request.body)) return problem(response, 422, 'Invalid');
  const item = payload(await store.create([userId], request.body, request.user.sub));
  feed.to(room(userId)).emit('notification:new', item);
  response.status(201).json(item);
  feed.to(room(userId)).emit('notification:unread-count', { count: await store.unreadCount(userId) });
});

api.post('/notifications/batch', admin, async (request, response) => {
  const { user_ids: userIds } = request.body;
  const many = Array.isArray(userIds) && userIds.length <= 10_000 && userIds.every((id) => isText(id, 128));
  if (!many || !isNotification(request.body)) return problem(response, 422, 'Invalid');
  const row = await store.create(userIds, request.body, request.user.sub);
  feed.to(userIds.map(room)).emit('notification:new', payload(row)); // encoded once for all rooms
  response.status(201).json({ notification_id: row.id, created: row.created });
});

api.get('/notifications', async (request, response) => {
  const limit = Number(request.query.limit ?? 20);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) return problem(response, 422, 'Invalid');
  const rows = await store.page(request.user.sub, request.query.cursor ?? null, limit);
  const items = rows.slice(0, limit).map(payload);
  response.json({ items, next_cursor: rows.length > limit ? items[limit - 1].id : null });
});

api.get('/notifications/unread-count', async (request, response) => {
  response.json({ count: await store.unreadCount(request.user.sub) });
});

api.post('/socket/broadcast', admin, (request, response) => {
  const { namespace = '/feed', event, data } = request.body;
  if (namespace !== '/feed' || !isText(event, 64) || !isObject(data)) return problem(response, 422, 'Invalid');
  feed.emit(event, data);
  response.status(202).json({ ok: true });
});

app.use('/api/v1', api);
app.get('/readyz', async (request, response) => {
  await store.ping();
  response.json({ ok: true });
});
app.use((error, request, response, next) => {
  if (response.headersSent) return next(error);
  problem(response, error.status ?? 500, error.expose ? error.message : 'Internal error');
});

// Lets the memory measurement collect garbage first (started with --expose-gc), so that Node is not charged for it.
process.on('SIGUSR2', () => globalThis.gc?.());
process.on('SIGTERM', () => {
  io.close();
  store.close().finally(() => process.exit(0));
});
http.listen(Number(PORT), '127.0.0.1');
