-- Notifications: what happened (once) and each person's copy of it, and the one function that writes both.

-- What is not said here on purpose: no foreign key from a person's copy to the content. Both are written by
-- one function and removed together by upkeep, and the check would cost a batch a query for each recipient.

create table callboard.notifications (
  id            uuid primary key,
  type          text not null,
  title         text not null,
  message       text not null,
  data          jsonb not null default '{}',
  priority      text not null default 'normal' check (priority in ('low', 'normal', 'high', 'urgent')),
  actor         text,
  resource_type text,
  resource_id   text,
  group_key     text,
  created_at    timestamptz not null,
  expires_at    timestamptz,
  updated_at    timestamptz not null default clock_timestamp(),
  check ((resource_type is null) = (resource_id is null))
);
create trigger notifications_touch before update on callboard.notifications
  for each row execute function callboard.touch_updated_at();

-- A person's copy. `arrived_at` is the order of the list, so it is finer than the milliseconds that people see.
-- `expires_at` repeats the content's, so that list and count agree about it without a join. `revision` grows
-- by one with each change that clients are told of.
create table callboard.notification_recipients (
  notification_id uuid not null,
  user_id         text not null,
  arrived_at      timestamptz not null,
  expires_at      timestamptz,
  read_at         timestamptz,
  seen_at         timestamptz,
  archived_at     timestamptz,
  revision        integer not null default 1,
  updated_at      timestamptz not null default clock_timestamp(),
  primary key (notification_id, user_id)
);
create trigger notification_recipients_touch before update on callboard.notification_recipients
  for each row execute function callboard.touch_updated_at();

create index notification_recipients_list
  on callboard.notification_recipients (user_id, arrived_at desc, notification_id desc);
-- The unread count, from the index alone, and the list of unread ones.
create index notification_recipients_unread
  on callboard.notification_recipients (user_id, arrived_at desc, notification_id desc) include (expires_at)
  where read_at is null;


create function callboard.utc_text(moment timestamptz) returns text
language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
comment on function callboard.utc_text(timestamptz) is
  'Private. The one form of a time that leaves: milliseconds, Z.';

-- Whole state, as REST lists it and sockets carry it; it names no recipient, so a batch sends the same
-- bytes to all. The parameters after the content are the recipient's.
create function callboard.notification_payload(
  content callboard.notifications, read_at timestamptz, seen_at timestamptz, archived_at timestamptz,
  revision integer
) returns text
language sql stable parallel safe
return json_build_object(
  'id', (content).id,
  'type', (content).type,
  'title', (content).title,
  'message', (content).message,
  'data', (content).data,
  'priority', (content).priority,
  'actor', (content).actor,
  'resource', case when (content).resource_type is not null then
    json_build_object('type', (content).resource_type, 'id', (content).resource_id) end,
  'group_key', (content).group_key,
  'created_at', callboard.utc_text((content).created_at),
  'expires_at', callboard.utc_text((content).expires_at),
  'read_at', callboard.utc_text(read_at),
  'seen_at', callboard.utc_text(seen_at),
  'archived_at', callboard.utc_text(archived_at),
  'revision', revision
)::text;
comment on function callboard.notification_payload(
  callboard.notifications, timestamptz, timestamptz, timestamptz, integer) is
  'Private. A notification as JSON text, the same for REST and sockets.';


create function callboard.refuse(field text, problem text) returns void
language plpgsql
as $$
begin
  raise exception '%', problem using errcode = 'CB422', column = field;
end
$$;
comment on function callboard.refuse(text, text) is
  'Private. Raises SQLSTATE CB422 naming the wrong argument.';

create function callboard.check_notification(
  user_ids text[], type text, title text, message text, data jsonb, priority text, actor text,
  resource_type text, resource_id text, group_key text, expires_in integer
) returns void
language plpgsql stable
as $$
begin
  if coalesce(cardinality(user_ids), 0) not between 1 and 10000 or array_ndims(user_ids) <> 1 then
    perform callboard.refuse('user_ids', 'user_ids must be a list of 1 to 10,000 user ids');
  end if;
  if exists (
    select from unnest(user_ids) as person (id)
    where person.id is null or length(person.id) not between 1 and 255
       or person.id ~ U&'[\0001-\001f\007f-\009f]'
  ) then
    perform callboard.refuse('user_ids',
      'a user id must have 1 to 255 characters, none of them a control character');
  end if;
  if type is null or type !~ '^[a-z0-9][a-z0-9_.:-]{0,63}$' then
    perform callboard.refuse('type', 'type must match [a-z0-9][a-z0-9_.:-]{0,63}');
  end if;
  if coalesce(length(title), 0) not between 1 and 200 then
    perform callboard.refuse('title', 'title must have 1 to 200 characters');
  end if;
  if message is null or length(message) > 2000 then
    perform callboard.refuse('message', 'message must be a text of at most 2,000 characters');
  end if;
  -- 16 KB as people send it; jsonb writes a space after each separator.
  if data is null or jsonb_typeof(data) <> 'object' or octet_length(data::text) > 24576 then
    perform callboard.refuse('data', 'data must be a JSON object of at most 16 KB');
  end if;
  if priority is null or priority not in ('low', 'normal', 'high', 'urgent') then
    perform callboard.refuse('priority', 'priority must be low, normal, high or urgent');
  end if;
  if length(actor) not between 1 and 255 then
    perform callboard.refuse('actor', 'actor must have 1 to 255 characters');
  end if;
  if (resource_type is null) <> (resource_id is null) or resource_type !~ '^[a-z0-9][a-z0-9_.-]{0,63}$'
     or length(resource_id) not between 1 and 200 then
    perform callboard.refuse('resource', 'resource must have a type and an id of 1 to 200 characters');
  end if;
  if length(group_key) not between 1 and 200 then
    perform callboard.refuse('group_key', 'group_key must have 1 to 200 characters');
  end if;
  if expires_in not between 1 and 315360000 then
    perform callboard.refuse('expires_in', 'expires_in must be 1 to 315,360,000 seconds');
  end if;
end
$$;
comment on function callboard.check_notification(
  text[], text, text, text, jsonb, text, text, text, text, text, integer) is
  'Private. The rules of a new notification; raises SQLSTATE CB422 naming the first wrong argument.';

-- Everything that creates a notification comes here: REST, Python and SQL callers. Recipients are
-- deduplicated and inserted in one order, so that no two calls deadlock.
create function callboard.create_notification(
  user_ids text[], type text, title text, message text, data jsonb, priority text, actor text,
  resource_type text, resource_id text, group_key text, expires_in integer,
  out id uuid, out created integer, out payload text
)
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  recipients text[] := user_ids;
  content callboard.notifications;
  arrived timestamptz := clock_timestamp();
begin
  perform callboard.check_notification(user_ids, type, title, message, data, priority, actor, resource_type,
    resource_id, group_key, expires_in);
  if cardinality(user_ids) > 1 then
    recipients := array(
      select distinct person.id collate "C" from unnest(user_ids) as person (id) order by 1);
  end if;
  id := callboard.uuid_v7();
  created := cardinality(recipients);
  content.id := id;
  content.type := type;
  content.title := title;
  content.message := message;
  content.data := data;
  content.priority := priority;
  content.actor := actor;
  content.resource_type := resource_type;
  content.resource_id := resource_id;
  content.group_key := group_key;
  content.created_at := date_trunc('milliseconds', arrived);
  content.expires_at := content.created_at + make_interval(secs => expires_in);
  content.updated_at := content.created_at;
  insert into callboard.notifications select (content).*;
  insert into callboard.notification_recipients (notification_id, user_id, arrived_at, expires_at)
  select content.id, person.id, arrived, content.expires_at
  from unnest(recipients) with ordinality as person (id, place)
  order by person.place;
  payload := callboard.notification_payload(content, null, null, null, 1);
  perform callboard.enqueue_text(
    array(select 'user:' || person.id from unnest(recipients) with ordinality as person (id, place)
          order by person.place),
    'notification:new', payload, '/feed');
end
$$;
comment on function callboard.create_notification(
  text[], text, text, text, jsonb, text, text, text, text, text, integer) is
  'Private. Content, recipients and message in one statement; NOTIFY is left to the caller.';

-- Runs as its owner, so that a host application needs no right on the tables.
create function callboard.notify(
  user_ids text[], type text, title text, message text, data jsonb default '{}'
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  made uuid;
begin
  select n.id into made
  from callboard.create_notification(
    user_ids, type, title, message, data, 'normal', null, null, null, null, null) n;
  perform pg_notify('callboard_outbox', '');
  return made;
end
$$;
comment on function callboard.notify(text[], text, text, text, jsonb) is
  'Notify people when, and only when, the calling transaction commits. Returns the notification''s id.';
