-- The kernel: outbox, message log, its head, sessions and people, and the functions that write a message.
-- Runs in one transaction, in a database of PostgreSQL 14 or later. The schema itself is made by store/migrate.py.

create function callboard.uuid_v7() returns uuid
language sql volatile parallel safe
return (
  lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
  || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
)::uuid;
comment on function callboard.uuid_v7() is 'RFC 9562, section 5.7: 48 bits of milliseconds, then random bits.';

create function callboard.touch_updated_at() returns trigger
language plpgsql
as $$
begin
  new.updated_at := clock_timestamp();
  return new;
end
$$;


-- Messages of transactions that have committed and are not numbered yet. The relay alone deletes.
create table callboard.outbox (
  id         bigint generated always as identity primary key,
  namespace  text not null,
  rooms      text[] not null,
  name       text not null,
  payload    text not null,
  created_at timestamptz not null default clock_timestamp()
) with (
  -- A queue: every row is soon dead, and readers pass over the dead ones.
  -- Its empty pages are used again; to give them back would lock writers out.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
  vacuum_truncate = false
);

-- The one row that numbers the log. The epoch names this log: positions of another database do not compare.
-- The key signs recovery ids: what it signed is good on every node of this log, and after a restart.
create table callboard.log_head (
  singleton    boolean primary key default true check (singleton),
  epoch        text not null,
  seq          bigint not null,
  recovery_key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
) with (fillfactor = 10);

insert into callboard.log_head (epoch, seq)
values (substr(replace(gen_random_uuid()::text, '-', ''), 1, 12), 0);

create function callboard.position() returns text
language sql stable parallel safe
return (select head.epoch || '.' || head.seq from callboard.log_head head);
comment on function callboard.position() is 'Epoch and highest seq, as the calling statement''s own snapshot sees them.';

create table callboard.message_log (
  seq        bigint not null,
  logged_at  timestamptz not null,
  created_at timestamptz not null,
  namespace  text not null,
  rooms      text[] not null,
  name       text not null,
  payload    text not null
) partition by range (logged_at);

create index message_log_seq on callboard.message_log (seq);
create index message_log_rooms on callboard.message_log using gin (rooms);

-- Takes what no day's partition takes: a late upkeep never loses a message.
create table callboard.message_log_default partition of callboard.message_log default;

create function callboard.ensure_log_partitions(days_ahead integer default 2) returns integer
language plpgsql
set timezone = 'UTC' set lock_timeout = '2s'
as $$
declare
  made integer := 0;
  first_day date;
  partition text;
begin
  for i in 0..days_ahead loop
    first_day := current_date + i;
    partition := 'message_log_' || to_char(first_day, 'YYYYMMDD');
    continue when to_regclass('callboard.' || partition) is not null;
    begin
      execute format(
        'create table callboard.%I partition of callboard.message_log for values from (%L) to (%L)',
        partition, first_day::timestamptz, (first_day + 1)::timestamptz);
      made := made + 1;
    exception when check_violation then
      -- Rows of that day are in the default partition already: they, and the day's rest, stay there.
      null;
    end;
  end loop;
  return made;
end
$$;

create function callboard.drop_log_partitions(older_than interval) returns integer
language plpgsql
set timezone = 'UTC' set lock_timeout = '2s'
as $$
declare
  dropped integer := 0;
  partition text;
begin
  for partition in
    select child.relname
    from pg_inherits
    join pg_class child on child.oid = inhrelid
    where inhparent = 'callboard.message_log'::regclass
      and child.relname ~ '^message_log_[0-9]{8}$'
      and (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamptz <= now() - older_than
    order by child.relname
  loop
    execute format('drop table callboard.%I', partition);
    dropped := dropped + 1;
  end loop;
  delete from callboard.message_log_default where logged_at < now() - older_than;
  return dropped;
end
$$;

select callboard.ensure_log_partitions();


create function callboard.enqueue_text(rooms text[], name text, payload text, namespace text) returns void
language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  if coalesce(length(name), 0) not between 1 and 100 then
    raise exception 'name must have 1 to 100 characters' using errcode = 'CB422', column = 'name';
  end if;
  -- Socket.IO's clients take a message with one of these names for a broken server, and hang up.
  if name in ('connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener') then
    raise exception 'name is reserved by Socket.IO' using errcode = 'CB422', column = 'name';
  end if;
  if namespace is null or namespace !~ '^/' or length(namespace) > 100 then
    raise exception 'namespace must begin with / and have at most 100 characters'
      using errcode = 'CB422', column = 'namespace';
  end if;
  if rooms is null or array_ndims(rooms) <> 1 or coalesce(cardinality(rooms), 0) not between 1 and 10000 then
    raise exception 'rooms must be a list of 1 to 10,000 rooms' using errcode = 'CB422', column = 'rooms';
  end if;
  if exists (select 1 from unnest(rooms) room where coalesce(length(room), 0) not between 1 and 300) then
    raise exception 'each room must have 1 to 300 characters' using errcode = 'CB422', column = 'rooms';
  end if;
  if payload is null or left(payload, 1) <> '{' then
    raise exception 'payload must be a JSON object' using errcode = 'CB422', column = 'payload';
  end if;
  if octet_length(payload) > 65536 then
    raise exception 'payload must have at most 65,536 bytes as JSON text'
      using errcode = 'CB422', column = 'payload';
  end if;
  insert into callboard.outbox (namespace, rooms, name, payload) values (namespace, rooms, name, payload);
end
$$;
comment on function callboard.enqueue_text(text[], text, text, text) is
  'Private. Checks a message and puts it in the outbox; the payload is JSON text that is stored as it is.';

create function callboard.enqueue(rooms text[], name text, payload jsonb, namespace text default '/feed') returns void
language sql volatile
as $$ select callboard.enqueue_text(rooms, name, payload::text, namespace) $$;
comment on function callboard.enqueue(text[], text, jsonb, text) is
  'Private. A message in the caller''s transaction, without NOTIFY: the caller wakes the relay after its commit.';

-- Runs as its owner, so that a host application needs no right on the tables. NOTIFY makes commits queue for a
-- lock, which is the price of SQL callers only: Callboard's own services wake the relay themselves.
create function callboard.publish(rooms text[], name text, payload jsonb, namespace text default '/feed') returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if namespace not in ('/feed', '/jobs', '/episodes', '/admin') then
    raise exception 'there is no namespace %', namespace using errcode = 'CB422', column = 'namespace';
  end if;
  perform callboard.enqueue_text(rooms, name, payload::text, namespace);
  perform pg_notify('callboard_outbox', '');
end
$$;
comment on function callboard.publish(text[], text, jsonb, text) is
  'Send a durable message to rooms when, and only when, the calling transaction commits.';


-- What a client session joined later than its connecting, for recovery.
create table callboard.sessions (
  pid        text primary key,
  user_id    text not null,
  namespace  text not null,
  rooms      text[] not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create index sessions_updated_at on callboard.sessions (updated_at);
create trigger sessions_touch before update on callboard.sessions
  for each row execute function callboard.touch_updated_at();

-- Who is known: filled from verified tokens and by the host. A recipient needs no row here.
create table callboard.people (
  id         text primary key check (length(id) between 1 and 200),
  name       text,
  teams      text[] not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);
create index people_teams on callboard.people using gin (teams);
create trigger people_touch before update on callboard.people
  for each row execute function callboard.touch_updated_at();
