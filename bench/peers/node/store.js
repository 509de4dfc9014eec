// The peer's statements. Each is one round trip and a named (prepared) one, as a careful author would write it.
import { readFile } from 'node:fs/promises';
import pg from 'pg';

const CREATE = `
  with content as (
    insert into notifications (type, title, message, data, priority, actor)
    values ($2, $3, $4, $5, $6, $7)
    returning *
  ), copies as (
    insert into notification_recipients (user_id, notification_id)
    select user_id, content.id from unnest($1::text[]) as user_id, content
    on conflict do nothing
    returning 1
  )
  select content.*, (select count(*)::int from copies) as created from content`;

export const PAGE = `
  select n.*, r.read_at, r.seen_at, r.archived_at, r.revision
  from notification_recipients r join notifications n on n.id = r.notification_id
  where r.user_id = $1 and r.archived_at is null and ($2::uuid is null or r.notification_id < $2)
  order by r.notification_id desc
  limit $3`;

export const UNREAD = `
  select count(*)::int as count from notification_recipients
  where user_id = $1 and read_at is null and archived_at is null`;

export class Store {
  constructor(connectionString) {
    // As many connections as Callboard's pool opens.
    this.pool = new pg.Pool({ connectionString, max: 10 });
  }

  async migrate() {
    await this.pool.query(await readFile(new URL('schema.sql', import.meta.url), 'utf8'));
  }

  /** Stores the content and one row per user, in one transaction; returns the row with `created`. */
  async create(userIds, { type, title, message, data = {}, priority = 'normal' }, actor) {
    const values = [userIds, type, title, message, data, priority, actor];
    return (await this.pool.query({ name: 'create', text: CREATE, values })).rows[0];
  }

  /** One row more than `limit` when there is a further page. */
  async page(userId, cursor, limit) {
    return (await this.pool.query({ name: 'page', text: PAGE, values: [userId, cursor, limit + 1] })).rows;
  }

  async unreadCount(userId) {
    return (await this.pool.query({ name: 'unread', text: UNREAD, values: [userId] })).rows[0].count;
  }

  ping() {
    return this.pool.query('select 1');
  }

  close() {
    return this.pool.end();
  }
}
