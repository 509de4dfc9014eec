-- The peer's tables: content once, one narrow row per recipient, as Callboard keeps them. PostgreSQL 18 (uuidv7).
create table if not exists notifications (
  id            uuid primary key default uuidv7(),
  type          text not null,
  title         text not null,
  message       text not null,
  data          jsonb not null default '{}',
  priority      text not null default 'normal',
  actor         text,
  resource_type text,
  resource_id   text,
  group_key     text,
  created_at    timestamptz not null default now(),
  expires_at    timestamptz
);

create table if not exists notification_recipients (
  user_id         text not null,
  notification_id uuid not null references notifications (id) on delete cascade,
  read_at         timestamptz,
  seen_at         timestamptz,
  archived_at     timestamptz,
  revision        integer not null default 1,
  primary key (user_id, notification_id)
);

create index if not exists notification_recipients_unread
  on notification_recipients (user_id) where read_at is null and archived_at is null;
