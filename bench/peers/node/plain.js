// The same store as the libraries' introductions would have it: a transaction of four round trips, statements without
// names (parsed each time).
import { PAGE, Store, UNREAD } from './store.js';

const CONTENT = `
  insert into notifications (type, title, message, data, priority, actor)
  values ($1, $2, $3, $4, $5, $6)
  returning *`;

const COPIES = `
  insert into notification_recipients (user_id, notification_id)
  select user_id, $2 from unnest($1::text[]) as user_id
  on conflict do nothing`;

export class PlainStore extends Store {
  async create(userIds, { type, title, message, data = {}, priority = 'normal' }, actor) {
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      const content = await client.query(CONTENT, [type, title, message, data, priority, actor]);
      const copies = await client.query(COPIES, [userIds, content.rows[0].id]);
      await client.query('commit');
      return { ...content.rows[0], created: copies.rowCount };
    } catch (error) {
      await client.query('rollback');
      throw error;
    } finally {
      client.release();
    }
  }

  async page(userId, cursor, limit) {
    return (await this.pool.query(PAGE, [userId, cursor, limit + 1])).rows;
  }

  async unreadCount(userId) {
    return (await this.pool.query(UNREAD, [userId])).rows[0].count;
  }
}
