-- What becomes of a notification for each recipient: preferences, the decision, groups, holds, and their upkeep.
--
-- A copy is in its owner's inbox exactly while `arrived_at` is set. A row without it tells why there is none: it is
-- held until `held_until`, it was folded into another copy, or it was suppressed.

-- What was created in one millisecond keeps its order too: holds that end together let go by it.
create or replace function callboard.uuid_v7() returns uuid
language plpgsql volatile parallel safe
as $$
declare
  at bigint := floor(extract(epoch from clock_timestamp()) * 1000000);
begin
  return (lpad(to_hex(at / 1000), 12, '0') || '7' || lpad(to_hex(at % 1000 * 4096 / 1000), 3, '0')
    || substr(gen_random_uuid()::text, 20))::uuid;
end
$$;
comment on function callboard.uuid_v7() is
  'RFC 9562, section 5.7 and method 3 of 6.2: 48 bits of milliseconds, 12 of their fraction, then random bits.';

-- The settings that SQL callers meet too; a node writes them when it starts. `types`: null allows any.
create table callboard.notification_settings (
  singleton     boolean primary key default true check (singleton),
  rate_limit    integer not null default 50,
  rate_overflow text not null default 'suppress' check (rate_overflow in ('suppress', 'fold')),
  batch_size    integer not null default 100,
  batch_timeout interval not null default '5 seconds',
  types         text[]
);
insert into callboard.notification_settings default values;

-- Checked by the service. `muted_resources`: [{"type", "id"}]; `quiet_hours`: {"start", "end", "timezone", "days"};
-- `types`: by notification type {"muted", "quiet_hours", "attention"}, of which false in one of the last two lets the
-- type pass that hold.
create table callboard.notification_preferences (
  user_id         text primary key,
  muted_types     text[] not null default '{}',
  muted_resources jsonb not null default '[]',
  quiet_hours     jsonb,
  types           jsonb not null default '{}',
  created_at      timestamptz not null default clock_timestamp(),
  updated_at      timestamptz not null default clock_timestamp()
);
create trigger notification_preferences_touch before update on callboard.notification_preferences
  for each row execute function callboard.touch_updated_at();

create table callboard.subscriptions (
  id            uuid not null default callboard.uuid_v7() unique,
  user_id       text not null,
  resource_type text not null,
  resource_id   text not null,
  created_at    timestamptz not null default clock_timestamp(),
  updated_at    timestamptz not null default clock_timestamp(),
  primary key (resource_type, resource_id, user_id)
);
create index subscriptions_of on callboard.subscriptions (user_id, created_at desc, id desc);
create trigger subscriptions_touch before update on callboard.subscriptions
  for each row execute function callboard.touch_updated_at();

-- How many notifications a person was sent in the hour. Its row is also the lock under which one call at a time
-- decides for that person. Rows are updated in place (fillfactor), so that no index grows.
create table callboard.notification_rates (
  user_id text primary key,
  hour    timestamptz not null,
  sent    integer not null
) with (fillfactor = 50);

-- Who called with which Idempotency-Key, and what was answered.
create table callboard.idempotency_keys (
  caller      text not null,
  key         text not null,
  fingerprint bytea not null,
  answer      jsonb,
  created_at  timestamptz not null default clock_timestamp(),
  primary key (caller, key)
);
create index idempotency_keys_created_at on callboard.idempotency_keys (created_at);

-- The one name that another slice gives: presence replaces this view. `status` is a person's own choice (dnd, busy, …)
-- until `until`; null: until it is changed.
create view callboard.attention as
  select null::text as user_id, null::text as status, null::timestamptz as until where false;


-- A user id may be as long everywhere.
alter table callboard.people drop constraint people_id_check;
alter table callboard.people add constraint people_id_check check (length(id) between 1 and 255);

-- The actor's name as it was known then.
alter table callboard.notifications add column actor_name text;

-- `outcome`, `rule`, `used`, `sent_in_hour`: the decision as it was made; see callboard.decide.
-- `group_open`: the next one with the same group_key is folded into this copy. `group_latest`: the content it shows,
-- if that is not its first. `group_actors`: who is behind it, at most 100. `fold_pending`: folded since clients were
-- last told; `fold_due`: when they are told next.
alter table callboard.notification_recipients
  alter column arrived_at drop not null,
  add column outcome      text not null default 'now' check (outcome in ('now', 'held', 'folded', 'suppressed')),
  add column rule         text,
  add column used         jsonb,
  add column sent_in_hour integer,
  add column held_until   timestamptz,
  add column group_key    text,
  add column group_open   boolean not null default false,
  add column group_count  integer not null default 1,
  add column group_latest uuid,
  add column group_actors text[],
  add column fold_pending integer not null default 0,
  add column fold_due     timestamptz;

-- What is in the inbox, and nothing else, is in the indexes of list and count.
drop index callboard.notification_recipients_list;
create index notification_recipients_list
  on callboard.notification_recipients (user_id, arrived_at desc, notification_id desc)
  where arrived_at is not null;
drop index callboard.notification_recipients_unread;
create index notification_recipients_unread
  on callboard.notification_recipients (user_id, arrived_at desc, notification_id desc) include (expires_at)
  where arrived_at is not null and read_at is null and archived_at is null;
create unique index notification_recipients_group
  on callboard.notification_recipients (user_id, group_key) where group_open;
create index notification_recipients_held
  on callboard.notification_recipients (held_until, notification_id) where held_until is not null;
create index notification_recipients_folded
  on callboard.notification_recipients (fold_due, notification_id) where fold_due is not null;
create index notification_recipients_expiring
  on callboard.notification_recipients (expires_at) where expires_at is not null;
create index notification_recipients_held_of
  on callboard.notification_recipients (user_id) where held_until is not null;


-- The decision

create type callboard.decision_inputs as (
  type            text,
  priority        text,
  resource_type   text,
  resource_id     text,
  muted_types     text[],
  muted_resources jsonb,
  types           jsonb,
  quiet_hours     jsonb,
  attention       text,
  attention_until timestamptz,
  group_open      boolean,
  overflow_open   boolean,
  sent_in_hour    integer,
  rate_limit      integer,
  rate_overflow   text
);
create type callboard.decision as (outcome text, rule text, held_until timestamptz, used jsonb);

create function callboard.quiet_until(quiet_hours jsonb, moment timestamptz) returns timestamptz
language sql stable parallel safe
as $$
  select max(period.ends)
  from (values (0), (1)) as ago (days)
  cross join lateral (
    select (moment at time zone (quiet_hours ->> 'timezone'))::date - ago.days as day,
           (quiet_hours ->> 'start')::time as starting,
           (quiet_hours ->> 'end')::time as ending
  ) local
  cross join lateral (
    select (local.day + local.starting) at time zone (quiet_hours ->> 'timezone') as begins,
           (local.day + local.ending + case when local.ending <= local.starting then interval '1 day'
            else interval '0' end) at time zone (quiet_hours ->> 'timezone') as ends
  ) period
  where quiet_hours -> 'days' ? (array['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'])[extract(isodow from local.day)::integer]
    and moment >= period.begins and moment < period.ends
$$;
comment on function callboard.quiet_until(jsonb, timestamptz) is
  'Private. The end of the quiet period that the moment is in, or null. A period belongs to the day on which it begins.';

-- Their lists differ by version, and a decision with a zone that this one does not know would fail for all recipients.
create function callboard.check_timezone(timezone text) returns void
language plpgsql stable
as $$
begin
  perform now() at time zone timezone;
exception when invalid_parameter_value then
  perform callboard.refuse('quiet_hours.timezone', format('quiet_hours.timezone: the database does not know %s', timezone));
end
$$;
comment on function callboard.check_timezone(text) is
  'Private. Raises SQLSTATE CB422 for a time zone that PostgreSQL does not know.';

create function callboard.muted_by(
  type text, resource_type text, resource_id text, muted_types text[], muted_resources jsonb, types jsonb
) returns text
language sql stable parallel safe  -- immutable it would not be inlined: jsonb_build_object is not
return case
  when type = any (muted_types) or coalesce((types -> type ->> 'muted')::boolean, false) then 'muted_type'
  when resource_type is not null and muted_resources @> jsonb_build_array(
    jsonb_build_object('type', resource_type, 'id', resource_id)) then 'muted_resource'
end;
comment on function callboard.muted_by(text, text, text, text[], jsonb, jsonb) is
  'Private. The rule that mutes it, or null.';

-- One after another: a mute, an open group, the hourly limit, the holds; urgent passes the holds alone. A limit of null
-- is none. Of two holds the one that ends last is the rule. What is over the limit and begins the group of what is, is
-- held or not like any other, by the rule rate_limited.
create function callboard.decide(inputs callboard.decision_inputs, now timestamptz) returns callboard.decision
language plpgsql stable parallel safe
as $$
#variable_conflict use_variable
declare
  made callboard.decision;
  setting jsonb := inputs.types -> inputs.type;
  free timestamptz := now;
  quiet timestamptz;
  over boolean := coalesce(inputs.sent_in_hour > inputs.rate_limit, false);
begin
  made.outcome := 'now';
  made.rule := callboard.muted_by(inputs.type, inputs.resource_type, inputs.resource_id, inputs.muted_types,
    inputs.muted_resources, inputs.types);
  if made.rule is not null then
    made.outcome := 'suppressed';
    made.used := jsonb_strip_nulls(jsonb_build_object('type', inputs.type, 'resource_type', inputs.resource_type,
      'resource_id', inputs.resource_id));
    return made;
  end if;
  if inputs.group_open then
    made.outcome := 'folded';
    made.rule := 'group';
    return made;
  end if;
  if over then
    made.rule := 'rate_limited';
    made.used := jsonb_build_object('sent_in_hour', inputs.sent_in_hour, 'rate_limit', inputs.rate_limit);
    if inputs.rate_overflow = 'suppress' then
      made.outcome := 'suppressed';
    elsif inputs.overflow_open then
      made.outcome := 'folded';
    end if;
    if made.outcome <> 'now' then
      return made;
    end if;
  end if;
  if inputs.quiet_hours is null and inputs.attention is null then
    return made;
  end if;
  if inputs.attention in ('dnd', 'busy') and coalesce((setting ->> 'attention')::boolean, true)
     and coalesce(inputs.attention_until, 'infinity') > free then
    free := coalesce(inputs.attention_until, 'infinity');
    made.rule := 'attention';
  end if;
  if inputs.quiet_hours is not null and coalesce((setting ->> 'quiet_hours')::boolean, true)
     and isfinite(free) then
    quiet := callboard.quiet_until(inputs.quiet_hours, free);
    if quiet is not null then
      free := quiet;
      made.rule := 'quiet_hours';
    end if;
  end if;
  if free > now then
    if inputs.priority = 'urgent' then
      made.rule := 'urgent';
    else
      made.outcome := 'held';
      made.held_until := free;
    end if;
  end if;
  if over then
    made.rule := 'rate_limited';
  end if;
  made.used := jsonb_strip_nulls(jsonb_build_object(
    'priority', inputs.priority, 'type_settings', setting, 'quiet_hours', inputs.quiet_hours,
    'attention', inputs.attention, 'attention_until', callboard.utc_text(inputs.attention_until)))
    || coalesce(made.used, '{}');
  return made;
end
$$;
comment on function callboard.decide(callboard.decision_inputs, timestamptz) is
  'Private. What becomes of a notification for one recipient. Reads no table.';

-- The decision for each of `recipients`, from what is stored. `counted` and `counts`: who was counted for the hour, and
-- the number that this one would be.
create function callboard.decide_each(
  content callboard.notifications, recipients text[], counted text[], counts integer[],
  settings callboard.notification_settings, moment timestamptz
) returns table (
  place bigint, user_id text, sent_in_hour integer, group_id uuid, outcome text, rule text, held_until timestamptz,
  used jsonb
)
language sql stable
as $$
  select person.place, person.id, rate.sent,
         case when (made.decision).outcome = 'folded' then coalesce(g.notification_id, o.notification_id) end,
         (made.decision).outcome, (made.decision).rule, (made.decision).held_until, (made.decision).used
  from unnest(recipients) with ordinality as person (id, place)
  left join unnest(counted, counts) as rate (user_id, sent) on rate.user_id = person.id
  left join callboard.notification_preferences p on p.user_id = person.id
  left join callboard.attention a on a.user_id = person.id
  -- `limit`: a look for each person. Whatever the statistics say, it is never a pass over all who have such a group.
  left join lateral (
    select r.notification_id from callboard.notification_recipients r
    where r.user_id = person.id and r.group_key = (content).group_key and r.group_open
      and (r.expires_at is null or r.expires_at > moment)
    limit 1) g on true
  left join lateral (
    select r.notification_id from callboard.notification_recipients r
    where r.user_id = person.id and r.group_key = '~overflow' and r.group_open
      and (r.expires_at is null or r.expires_at > moment) and (settings).rate_overflow = 'fold'
    limit 1) o on true
  -- `offset`: called once for each person, not once for each of its columns; in `from` a call costs thrice as much.
  cross join lateral (
    select callboard.decide(
      row((content).type, (content).priority, (content).resource_type, (content).resource_id, p.muted_types,
          p.muted_resources, p.types, p.quiet_hours, a.status, a.until, g.notification_id is not null,
          o.notification_id is not null, rate.sent, (settings).rate_limit, (settings).rate_overflow
          )::callboard.decision_inputs, moment) as decision
    offset 0) made
$$;


-- What leaves

drop function callboard.notification_payload(
  callboard.notifications, timestamptz, timestamptz, timestamptz, integer);

create function callboard.exact_utc_text(moment timestamptz) returns text
language sql stable parallel safe
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
comment on function callboard.exact_utc_text(timestamptz) is
  'Private. A time that orders a list: microseconds, Z.';

-- Whole state, as REST lists it and sockets carry it; it names no recipient, so that copies in the same state share
-- their bytes. A group shows its latest content under the id and type of its first.
create function callboard.notification_payload(
  first callboard.notifications, latest callboard.notifications, copy callboard.notification_recipients
) returns text
language sql stable parallel safe
return json_build_object(
  'id', (first).id,
  'type', (first).type,
  'title', (latest).title,
  'message', (latest).message,
  'data', (latest).data,
  'priority', (latest).priority,
  'actor', (latest).actor,
  'actor_name', (latest).actor_name,
  'resource', case when (latest).resource_type is not null then
    json_build_object('type', (latest).resource_type, 'id', (latest).resource_id) end,
  'group_key', (copy).group_key,
  'group', case when (copy).group_key is not null then json_build_object(
    'count', (copy).group_count,
    'actors', cardinality((copy).group_actors),
    'first', json_build_object('id', (first).id, 'title', (first).title, 'actor', (first).actor,
      'actor_name', (first).actor_name, 'created_at', callboard.utc_text((first).created_at)),
    'latest', json_build_object('id', (latest).id, 'title', (latest).title, 'actor', (latest).actor,
      'actor_name', (latest).actor_name, 'created_at', callboard.utc_text((latest).created_at))) end,
  'created_at', callboard.utc_text((first).created_at),
  'arrived_at', callboard.exact_utc_text((copy).arrived_at),
  'expires_at', callboard.utc_text((copy).expires_at),
  'read_at', callboard.utc_text((copy).read_at),
  'seen_at', callboard.utc_text((copy).seen_at),
  'archived_at', callboard.utc_text((copy).archived_at),
  'revision', (copy).revision
)::text;
comment on function callboard.notification_payload(
  callboard.notifications, callboard.notifications, callboard.notification_recipients) is
  'Private. A notification as JSON text, the same for REST and sockets.';

-- What a copy shows. A statement that waits for the lock of a copy sees the copy as it has become, but other rows as they
-- were when it began: what was folded into the copy meanwhile is read here, with a snapshot of its own.
create function callboard.shown_content(first callboard.notifications, latest uuid) returns callboard.notifications
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  content callboard.notifications;
begin
  if latest is null then
    return first;
  end if;
  select n.* into content from callboard.notifications n where n.id = latest;
  return content;
end
$$;
comment on function callboard.shown_content(callboard.notifications, uuid) is
  'Private. The latest content of a group, or the only one.';


-- Creating

drop function callboard.check_notification(
  text[], text, text, text, jsonb, text, text, text, text, text, integer);

create function callboard.is_user_id(id text) returns boolean
language sql immutable parallel safe
return id is not null and length(id) between 1 and 255 and id !~ U&'[\0001-\001f\007f-\009f]';

create function callboard.check_recipients(user_ids text[]) returns void
language plpgsql stable
as $$
declare
  good boolean;
begin
  if coalesce(cardinality(user_ids), 0) not between 1 and 10000 or array_ndims(user_ids) <> 1 then
    perform callboard.refuse('user_ids', 'user_ids must be a list of 1 to 10,000 user ids');
  end if;
  if cardinality(user_ids) = 1 then  -- without a query, which costs more than the check
    good := callboard.is_user_id(user_ids[array_lower(user_ids, 1)]);
  else
    good := not exists (select from unnest(user_ids) as person (id) where not callboard.is_user_id(person.id));
  end if;
  if not good then
    perform callboard.refuse('user_ids',
      'a user id must have 1 to 255 characters, none of them a control character');
  end if;
end
$$;

create function callboard.check_notification(
  type text, title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, allowed_types text[]
) returns void
language plpgsql stable
as $$
begin
  if type is null or type !~ '^[a-z0-9][a-z0-9_.:-]{0,63}$' then
    perform callboard.refuse('type', 'type must match [a-z0-9][a-z0-9_.:-]{0,63}');
  end if;
  if type <> all (allowed_types) then
    perform callboard.refuse('type', 'type must be one of ' || array_to_string(allowed_types, ', '));
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
  if length(group_key) not between 1 and 200 or group_key like '~%' then
    perform callboard.refuse('group_key', 'group_key must have 1 to 200 characters, the first of them not ~');
  end if;
  if expires_in not between 1 and 315360000 then
    perform callboard.refuse('expires_in', 'expires_in must be 1 to 315,360,000 seconds');
  end if;
end
$$;
comment on function callboard.check_notification(
  text, text, text, jsonb, text, text, text, text, text, integer, text[]) is
  'Private. The rules of a new notification; raises SQLSTATE CB422 naming the first wrong argument.';

-- `id` is null if nothing was stored, because the only recipient is over the limit. `outcome`, `rule` and `held_until`
-- are the only recipient's; with several they are null.
create type callboard.created_notification as (
  id uuid, created integer, held integer, folded integer, muted integer, rate_limited integer, payload text,
  outcome text, rule text, held_until timestamptz
);

create function callboard.content_of(
  type text, title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer
) returns callboard.notifications
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  content callboard.notifications;
begin
  content.id := callboard.uuid_v7();
  content.type := type;
  content.title := title;
  content.message := message;
  content.data := data;
  content.priority := priority;
  content.actor := actor;
  content.actor_name := (select p.name from callboard.people p where p.id = actor);
  content.resource_type := resource_type;
  content.resource_id := resource_id;
  content.group_key := group_key;
  content.created_at := date_trunc('milliseconds', clock_timestamp());
  content.expires_at := content.created_at + make_interval(secs => expires_in);
  content.updated_at := content.created_at;
  return content;
end
$$;

-- What is stored of a decision. `group_id`: the copy that this one is folded into.
create function callboard.decided_copy(
  content callboard.notifications, outcome text, rule text, used jsonb, group_id uuid, moment timestamptz
) returns table (
  arrived_at timestamptz, expires_at timestamptz, outcome text, rule text, used jsonb, group_key text,
  group_open boolean, group_actors text[]
)
language sql stable
as $$
  select case when outcome = 'now' then moment end,
         (content).expires_at,
         outcome,
         rule,
         case when outcome = 'folded' then jsonb_build_object('into', group_id) || coalesce(used, '{}') else used end,
         case when outcome in ('folded', 'suppressed') then null
              when rule = 'rate_limited' then '~overflow'
              else (content).group_key end,
         outcome in ('now', 'held') and ((content).group_key is not null or rule is not distinct from 'rate_limited'),
         case when (content).group_key is not null or rule = 'rate_limited' then
           case when (content).actor is null then '{}' else array[(content).actor] end end
$$;

-- `group_ids`, `user_ids`: the copies that it is folded into.
create function callboard.fold_into(
  content callboard.notifications, group_ids uuid[], user_ids text[], settings callboard.notification_settings,
  moment timestamptz
) returns void
language plpgsql volatile
as $$
begin
  update callboard.notification_recipients r
  set group_count = r.group_count + 1,
      group_latest = content.id,
      group_actors = case when content.actor is null or content.actor = any (r.group_actors)
                            or cardinality(r.group_actors) >= 100 then r.group_actors
                          else r.group_actors || content.actor end,
      expires_at = case when r.expires_at is not null and content.expires_at is not null then
                          greatest(r.expires_at, content.expires_at) end,
      seen_at = null,
      revision = r.revision + 1,
      -- One that has arrived stays so: LEAST would make a hold of nothing.
      held_until = case when content.priority = 'urgent' and r.held_until is not null then least(r.held_until, moment)
                        else r.held_until end,
      -- It stays so when another is folded before the group is let go.
      used = case when content.priority = 'urgent' and r.held_until is not null
               then coalesce(r.used, '{}') || '{"urgent_joined": true}' else r.used end,
      fold_pending = case when r.arrived_at is not null then r.fold_pending + 1 else 0 end,
      fold_due = case when r.arrived_at is null then null
                      when r.fold_pending + 1 >= settings.batch_size then moment
                      else coalesce(r.fold_due, moment + settings.batch_timeout) end
  from unnest(group_ids, user_ids) as fold (id, user_id)
  where r.notification_id = fold.id and r.user_id = fold.user_id;
end
$$;

-- What has expired is a group no more.
create function callboard.close_expired_groups(user_ids text[], key text, moment timestamptz) returns void
language plpgsql volatile
as $$
begin
  update callboard.notification_recipients r
  set group_open = false
  where r.user_id = any (user_ids) and r.group_key in (key, '~overflow') and r.group_open and r.expires_at <= moment;
end
$$;

-- As its recipients are sent it. `arrived_at`: null if it arrives for nobody.
create function callboard.new_payload(content callboard.notifications, group_key text, arrived_at timestamptz)
returns text
language plpgsql stable
as $$
#variable_conflict use_variable
declare
  copy callboard.notification_recipients;
begin
  copy.arrived_at := arrived_at;
  copy.expires_at := content.expires_at;
  copy.revision := 1;
  copy.group_key := group_key;
  copy.group_count := 1;
  copy.group_actors := case when content.actor is null then '{}' else array[content.actor] end;
  return callboard.notification_payload(content, content, copy);
end
$$;

-- The same as create_copies for one recipient, by statements that are as small as can be: most notifications are for
-- one person, and to begin a large statement costs more than to run it.
create function callboard.create_copy(
  content callboard.notifications, recipient text, settings callboard.notification_settings,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  made callboard.created_notification;
  moment timestamptz := clock_timestamp();
  this_hour timestamptz := date_trunc('hour', moment, 'UTC');
  step integer := case when content.group_key is null then 1 else 0 end;
  sent_in_hour integer;
  chosen callboard.notification_preferences;
  attention text;
  attention_until timestamptz;
  group_id uuid;
  overflow_id uuid;
  decided callboard.decision;
begin
  insert into callboard.notification_rates as rate (user_id, hour, sent)
  select recipient, this_hour, step
  where not exists (
    select from callboard.notification_preferences p
    where p.user_id = recipient and callboard.muted_by(content.type, content.resource_type, content.resource_id,
      p.muted_types, p.muted_resources, p.types) is not null)
  on conflict on constraint notification_rates_pkey do update
    set sent = case when rate.hour = excluded.hour then rate.sent else 0 end + excluded.sent, hour = excluded.hour
  returning rate.sent + 1 - step into sent_in_hour;

  select p.* into chosen from callboard.notification_preferences p where p.user_id = recipient;
  select a.status, a.until into attention, attention_until from callboard.attention a where a.user_id = recipient;
  if content.group_key is not null or settings.rate_overflow = 'fold' then
    perform callboard.close_expired_groups(array[recipient], content.group_key, moment);
  end if;
  if content.group_key is not null then
    select r.notification_id into group_id from callboard.notification_recipients r
    where r.user_id = recipient and r.group_key = content.group_key and r.group_open;
  end if;
  if settings.rate_overflow = 'fold' then
    select r.notification_id into overflow_id from callboard.notification_recipients r
    where r.user_id = recipient and r.group_key = '~overflow' and r.group_open;
  end if;
  decided := callboard.decide(
    row(content.type, content.priority, content.resource_type, content.resource_id, chosen.muted_types,
        chosen.muted_resources, chosen.types, chosen.quiet_hours, attention, attention_until, group_id is not null,
        overflow_id is not null, sent_in_hour, settings.rate_limit, settings.rate_overflow
        )::callboard.decision_inputs, moment);
  group_id := coalesce(group_id, overflow_id);

  made.outcome := decided.outcome;
  made.rule := decided.rule;
  made.held_until := decided.held_until;
  made.created := (decided.outcome = 'now')::integer;
  made.held := (decided.outcome = 'held')::integer;
  made.folded := (decided.outcome = 'folded')::integer;
  made.rate_limited := (decided.outcome = 'suppressed' and decided.rule = 'rate_limited')::integer;
  made.muted := (decided.outcome = 'suppressed')::integer - made.rate_limited;
  if refuse_over_limit and made.rate_limited > 0 then
    return made;
  end if;
  insert into callboard.notification_recipients (
    notification_id, user_id, sent_in_hour, held_until, arrived_at, expires_at, outcome, rule, used, group_key,
    group_open, group_actors)
  select content.id, recipient, sent_in_hour, decided.held_until, c.*
  from callboard.decided_copy(content, decided.outcome, decided.rule, decided.used, group_id, moment) c;
  if made.folded > 0 then
    perform callboard.fold_into(content, array[group_id], array[recipient], settings, moment);
  elsif step = 0 and made.created + made.held > 0 then
    update callboard.notification_rates rate set sent = rate.sent + 1 where rate.user_id = recipient;
  end if;
  made.id := content.id;
  insert into callboard.notifications select (content).*;
  made.payload := callboard.new_payload(content,
    case when decided.rule = 'rate_limited' then '~overflow' else content.group_key end,
    case when made.created > 0 then moment end);
  if made.created > 0 then
    perform callboard.enqueue_text(array['user:' || recipient], 'notification:new', made.payload, '/feed');
  end if;
  return made;
end
$$;
comment on function callboard.create_copy(
  callboard.notifications, text, callboard.notification_settings, boolean) is
  'Private. Content, copy and message for one recipient. Over the limit it may store nothing.';

-- `recipients` are distinct and sorted, so that no two calls deadlock. The first statement makes each wait for others
-- that decide for the same people; the later ones see what they committed.
create function callboard.create_copies(
  content callboard.notifications, recipients text[], settings callboard.notification_settings,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  made callboard.created_notification;
  moment timestamptz := clock_timestamp();
  -- In a group only what is not folded counts, which is known after the decision.
  step integer := case when content.group_key is null then 1 else 0 end;
  counted text[];
  counts integer[];
  arriving text[];
  overflowing text[];
  overflow text;
  holding text[];
  folding text[];
  group_ids uuid[];
begin
  if cardinality(recipients) = 1 then
    return callboard.create_copy(content, recipients[array_lower(recipients, 1)], settings, refuse_over_limit);
  end if;
  with rates as (
    insert into callboard.notification_rates as rate (user_id, hour, sent)
    select person.id, date_trunc('hour', moment, 'UTC'), step
    from unnest(recipients) with ordinality as person (id, place)
    left join callboard.notification_preferences p on p.user_id = person.id
    where p.user_id is null or callboard.muted_by(content.type, content.resource_type, content.resource_id,
      p.muted_types, p.muted_resources, p.types) is null
    order by person.place
    on conflict on constraint notification_rates_pkey do update
      set sent = case when rate.hour = excluded.hour then rate.sent else 0 end + excluded.sent, hour = excluded.hour
    returning rate.user_id, rate.sent
  )
  select array_agg(rates.user_id), array_agg(rates.sent + 1 - step) into counted, counts from rates;

  if content.group_key is not null or settings.rate_overflow = 'fold' then
    perform callboard.close_expired_groups(recipients, content.group_key, moment);
  end if;

  with decided as materialized (
    select * from callboard.decide_each(content, recipients, counted, counts, settings, moment)
  ), copies as (
    insert into callboard.notification_recipients (
      notification_id, user_id, sent_in_hour, held_until, arrived_at, expires_at, outcome, rule, used, group_key,
      group_open, group_actors)
    select content.id, d.user_id, d.sent_in_hour, d.held_until, c.*
    from decided d
    cross join lateral callboard.decided_copy(content, d.outcome, d.rule, d.used, d.group_id, moment) c
    order by d.place
  )
  select count(*) filter (where d.outcome = 'suppressed' and d.rule <> 'rate_limited'),
         count(*) filter (where d.outcome = 'suppressed' and d.rule = 'rate_limited'),
         array_agg('user:' || d.user_id order by d.place)
           filter (where d.outcome = 'now' and d.rule is distinct from 'rate_limited'),
         array_agg('user:' || d.user_id order by d.place) filter (where d.outcome = 'now' and d.rule = 'rate_limited'),
         array_agg(d.user_id) filter (where d.outcome in ('now', 'held')),
         array_agg(d.user_id) filter (where d.outcome = 'folded'),
         array_agg(d.group_id) filter (where d.outcome = 'folded')
  into made.muted, made.rate_limited, arriving, overflowing, holding, folding, group_ids
  from decided d;
  made.created := coalesce(cardinality(arriving), 0) + coalesce(cardinality(overflowing), 0);
  made.held := coalesce(cardinality(holding), 0) - made.created;
  made.folded := coalesce(cardinality(folding), 0);

  if made.folded > 0 then
    perform callboard.fold_into(content, group_ids, folding, settings, moment);
  end if;
  if step = 0 then
    update callboard.notification_rates rate set sent = rate.sent + 1 where rate.user_id = any (holding);
  end if;
  made.id := content.id;
  insert into callboard.notifications select (content).*;
  made.payload := callboard.new_payload(content, content.group_key, case when made.created > 0 then moment end);
  for part in 1..cardinality(coalesce(arriving, '{}')) by 10000 loop
    perform callboard.enqueue_text(arriving[part : part + 9999], 'notification:new', made.payload, '/feed');
  end loop;
  -- For these it begins the group of what is over the limit.
  if overflowing is not null then
    overflow := callboard.new_payload(content, '~overflow', moment);
    for part in 1..cardinality(overflowing) by 10000 loop
      perform callboard.enqueue_text(overflowing[part : part + 9999], 'notification:new', overflow, '/feed');
    end loop;
  end if;
  return made;
end
$$;
comment on function callboard.create_copies(
  callboard.notifications, text[], callboard.notification_settings, boolean) is
  'Private. Content, copies and message; what becomes of each copy is decided here.';

drop function callboard.create_notification(
  text[], text, text, text, jsonb, text, text, text, text, text, integer);

-- Everything that creates a notification comes here or to create_for_followers: REST, Python and SQL callers.
create function callboard.create_notification(
  user_ids text[], type text, title text, message text, data jsonb, priority text, actor text,
  resource_type text, resource_id text, group_key text, expires_in integer, refuse_over_limit boolean default false
) returns callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  settings callboard.notification_settings;
  recipients text[] := user_ids;
begin
  select * into settings from callboard.notification_settings;
  perform callboard.check_recipients(user_ids);
  perform callboard.check_notification(type, title, message, data, priority, actor, resource_type, resource_id,
    group_key, expires_in, settings.types);
  if cardinality(user_ids) > 1 then
    recipients := array(
      select distinct person.id collate "C" from unnest(user_ids) as person (id) order by 1);
  end if;
  return callboard.create_copies(
    callboard.content_of(type, title, message, data, priority, actor, resource_type, resource_id, group_key,
      expires_in),
    recipients, settings, refuse_over_limit);
end
$$;
comment on function callboard.create_notification(
  text[], text, text, text, jsonb, text, text, text, text, text, integer, boolean) is
  'Private. Content, recipients and message in one statement; NOTIFY is left to the caller.';

-- Who did it is not told of it.
create function callboard.create_for_followers(
  followed_type text, followed_id text, type text, title text, message text, data jsonb, priority text, actor text,
  resource_type text, resource_id text, group_key text, expires_in integer
) returns callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  settings callboard.notification_settings;
begin
  select * into settings from callboard.notification_settings;
  perform callboard.check_notification(type, title, message, data, priority, actor, resource_type, resource_id,
    group_key, expires_in, settings.types);
  return callboard.create_copies(
    callboard.content_of(type, title, message, data, priority, actor, resource_type, resource_id, group_key,
      expires_in),
    array(
      select s.user_id collate "C" from callboard.subscriptions s
      where s.resource_type = followed_type and s.resource_id = followed_id and s.user_id is distinct from actor
      order by 1),
    settings, false);
end
$$;
comment on function callboard.create_for_followers(
  text, text, text, text, text, jsonb, text, text, text, text, text, integer) is
  'Private. The same for everybody who follows a resource, but for the actor.';

-- For a host application's own transaction: NOTIFY wakes the relay when that commits.
create function callboard.create_within(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('callboard_outbox', '');
  if followed_type is not null then
    return callboard.create_for_followers(followed_type, followed_id, type, title, message, data, priority, actor,
      resource_type, resource_id, group_key, expires_in);
  end if;
  return callboard.create_notification(user_ids, type, title, message, data, priority, actor, resource_type,
    resource_id, group_key, expires_in, refuse_over_limit);
end
$$;

-- Runs `create_notification` once for a caller's key; again gives the first answer.
create function callboard.claim_key(caller text, key text, fingerprint bytea) returns jsonb
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  known callboard.idempotency_keys;
begin
  insert into callboard.idempotency_keys (caller, key, fingerprint) values (caller, key, fingerprint)
  on conflict do nothing;
  if found then
    return null;
  end if;
  select k.* into known from callboard.idempotency_keys k where k.caller = caller and k.key = key;
  if known.fingerprint is distinct from fingerprint then
    raise exception 'this Idempotency-Key was used with another body' using errcode = 'CB409';
  end if;
  return known.answer;
end
$$;
comment on function callboard.claim_key(text, text, bytea) is
  'Private. Null: the key is new, and the caller''s until its transaction ends. Else what was answered the first time.';

create function callboard.create_once(
  caller text, key text, fingerprint bytea, user_ids text[], followed_type text, followed_id text, type text,
  title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  made callboard.created_notification;
  answer jsonb := callboard.claim_key(caller, key, fingerprint);
begin
  if answer is not null then
    return jsonb_populate_record(made, answer);
  end if;
  if followed_type is not null then
    made := callboard.create_for_followers(followed_type, followed_id, type, title, message, data, priority, actor,
      resource_type, resource_id, group_key, expires_in);
  else
    made := callboard.create_notification(user_ids, type, title, message, data, priority, actor, resource_type,
      resource_id, group_key, expires_in, refuse_over_limit);
  end if;
  if made.id is null then
    delete from callboard.idempotency_keys k where k.caller = caller and k.key = key;
  else
    update callboard.idempotency_keys k set answer = to_jsonb(made) where k.caller = caller and k.key = key;
  end if;
  return made;
end
$$;

-- What would become of it now, for each recipient; nothing is written, locked or counted.
create function callboard.decide_dry(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer
) returns table (user_id text, outcome text, rule text, held_until timestamptz, used jsonb)
language plpgsql stable
as $$
#variable_conflict use_variable
declare
  settings callboard.notification_settings;
  content callboard.notifications;
  recipients text[];
  moment timestamptz := clock_timestamp();
begin
  select * into settings from callboard.notification_settings;
  perform callboard.check_notification(type, title, message, data, priority, actor, resource_type, resource_id,
    group_key, expires_in, settings.types);
  if followed_type is null then
    perform callboard.check_recipients(user_ids);
    recipients := array(select distinct person.id collate "C" from unnest(user_ids) as person (id) order by 1);
  else
    recipients := array(
      select s.user_id collate "C" from callboard.subscriptions s
      where s.resource_type = followed_type and s.resource_id = followed_id and s.user_id is distinct from actor
      order by 1);
  end if;
  content.type := type;
  content.priority := priority;
  content.resource_type := resource_type;
  content.resource_id := resource_id;
  content.group_key := group_key;
  return query
    select d.user_id, d.outcome, d.rule, d.held_until, d.used
    from callboard.decide_each(
      content, recipients, recipients,
      array(
        select 1 + case when rate.hour = date_trunc('hour', moment, 'UTC') then rate.sent else 0 end
        from unnest(recipients) with ordinality as person (id, place)
        left join callboard.notification_rates rate on rate.user_id = person.id
        order by person.place),
      settings, moment) d
    order by d.place;
end
$$;
comment on function callboard.decide_dry(
  text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer) is
  'Private. The dry run of create_notification and create_for_followers.';
