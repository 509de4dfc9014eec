-- A title that can be seen; and notifications for one person each that were asked for at the same time, as one set: most
-- of what a statement costs is to begin it.

create or replace function callboard.check_notification(
  type text, title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, allowed_types text[]
) returns void
language plpgsql stable
as $$
begin
  -- A pattern with a length in it takes PostgreSQL several times as long.
  if type is null or length(type) > 64 or type !~ '^[a-z0-9][a-z0-9_.:-]*$' then
    perform callboard.refuse('type', 'type must match [a-z0-9][a-z0-9_.:-]{0,63}');
  end if;
  if type <> all (allowed_types) then
    perform callboard.refuse('type', 'type must be one of ' || array_to_string(allowed_types, ', '));
  end if;
  if coalesce(length(title), 0) not between 1 and 200 then
    perform callboard.refuse('title', 'title must have 1 to 200 characters');
  end if;
  -- Neither blanks nor control characters nor those that only direct others.
  if title !~ '[^\u0001-\u0020\u007f-\u00a0\u00ad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]' then
    perform callboard.refuse('title', 'title must have a character that can be seen');
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
  if (resource_type is null) <> (resource_id is null) or length(resource_type) > 64
     or resource_type !~ '^[a-z0-9][a-z0-9_.-]*$' or length(resource_id) not between 1 and 200 then
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

-- Counts each call for its recipient's hour; see callboard.notification_rates. Of several for one person each has its
-- own number, in their order. What is muted is not counted, and has none.
create function callboard.count_each(
  user_ids text[], types text[], resource_types text[], resource_ids text[], moment timestamptz,
  out places bigint[], out counts integer[]
)
language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  with call as materialized (
    select c.place, c.user_id, count(*) over (partition by c.user_id) as calls,
           row_number() over (partition by c.user_id order by c.place) as number
    from unnest(user_ids, types, resource_types, resource_ids)
      with ordinality as c (user_id, type, resource_type, resource_id, place)
    left join callboard.notification_preferences p on p.user_id = c.user_id
    where p.user_id is null or callboard.muted_by(c.type, c.resource_type, c.resource_id,
      p.muted_types, p.muted_resources, p.types) is null
  ), rates as (
    insert into callboard.notification_rates as rate (user_id, hour, sent)
    select c.user_id, date_trunc('hour', moment, 'UTC'), c.calls
    from call c
    where c.number = 1
    order by c.user_id collate "C"  -- as everywhere, so that no two deadlock
    on conflict on constraint notification_rates_pkey do update
      set sent = case when rate.hour = excluded.hour then rate.sent else 0 end + excluded.sent, hour = excluded.hour
    returning rate.user_id, rate.sent
  )
  select array_agg(c.place), array_agg(rates.sent - c.calls + c.number) into places, counts
  from call c join rates on rates.user_id = c.user_id;
end
$$;

-- The same as create_notification for each call, in their order; what is over the limit stores nothing. Groups go one
-- after another, since each looks for what the one before it has stored, and so do two, for which it is faster.
create function callboard.create_each(
  user_ids text[], types text[], titles text[], messages text[], data jsonb[], priorities text[], actors text[],
  resource_types text[], resource_ids text[], group_keys text[], expires_in integer[]
) returns setof callboard.created_notification
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  settings callboard.notification_settings;
  counted record;
begin
  select * into settings from callboard.notification_settings;
  if settings.rate_overflow = 'fold' or cardinality(array_remove(group_keys, null)) > 0 or cardinality(user_ids) < 3 then
    return query
      select n.*
      from unnest(user_ids, types, titles, messages, data, priorities, actors, resource_types, resource_ids, group_keys,
                  expires_in)
        with ordinality as c (user_id, type, title, message, data, priority, actor, resource_type, resource_id,
                              group_key, expires_in, place)
      cross join lateral callboard.create_notification(
        array[c.user_id], c.type, c.title, c.message, c.data, c.priority, c.actor, c.resource_type, c.resource_id,
        c.group_key, c.expires_in, true) n
      order by c.place;
    return;
  end if;

  perform callboard.check_recipients(user_ids);
  perform callboard.check_notification(c.type, c.title, c.message, c.data, c.priority, c.actor, c.resource_type,
    c.resource_id, null, c.expires_in, settings.types)
  from unnest(types, titles, messages, data, priorities, actors, resource_types, resource_ids, expires_in)
    as c (type, title, message, data, priority, actor, resource_type, resource_id, expires_in);
  -- A statement of its own: each waits here for others that decide for the same people.
  select * into counted from callboard.count_each(user_ids, types, resource_types, resource_ids, clock_timestamp());

  return query
  with call as materialized (
    select c.*, callboard.uuid_v7() as id, clock_timestamp() as moment
    from unnest(user_ids, types, titles, messages, data, priorities, actors, resource_types, resource_ids, expires_in)
      with ordinality as c (user_id, type, title, message, data, priority, actor, resource_type, resource_id,
                            expires_in, place)
  ), decided as materialized (
    select c.*, rate.sent, made.decision, (made.decision).rule is not distinct from 'rate_limited' as over,
           date_trunc('milliseconds', c.moment) as created_at
    from call c
    left join unnest(counted.places, counted.counts) as rate (place, sent) on rate.place = c.place
    left join callboard.notification_preferences p on p.user_id = c.user_id
    left join callboard.attention a on a.user_id = c.user_id
    cross join lateral (
      select callboard.decide(
        row(c.type, c.priority, c.resource_type, c.resource_id, p.muted_types, p.muted_resources, p.types,
            p.quiet_hours, a.status, a.until, false, false, rate.sent, settings.rate_limit, settings.rate_overflow
            )::callboard.decision_inputs, c.moment) as decision
      offset 0) made
  ), contents as (
    insert into callboard.notifications as n (
      id, type, title, message, data, priority, actor, actor_name, resource_type, resource_id, created_at, expires_at,
      updated_at)
    select d.id, d.type, d.title, d.message, d.data, d.priority, d.actor, p.name, d.resource_type, d.resource_id,
           d.created_at, d.created_at + make_interval(secs => d.expires_in), d.created_at
    from decided d
    left join callboard.people p on p.id = d.actor
    where not d.over
    returning n as content, n.id, n.expires_at
  ), copies as (
    insert into callboard.notification_recipients as r (
      notification_id, user_id, sent_in_hour, held_until, arrived_at, expires_at, outcome, rule, used)
    select d.id, d.user_id, d.sent, (d.decision).held_until, case when (d.decision).outcome = 'now' then d.moment end,
           n.expires_at, (d.decision).outcome, (d.decision).rule, (d.decision).used
    from decided d
    join contents n on n.id = d.id
    returning r as copy, r.notification_id
  ), stored as materialized (
    select r.notification_id as id, callboard.notification_payload(n.content, n.content, r.copy) as payload
    from copies r
    join contents n on n.id = r.notification_id
  ), messages as (
    -- Of a size that enqueue_text takes, since check_notification took its parts.
    insert into callboard.outbox (namespace, rooms, name, payload)
    select '/feed', array['user:' || d.user_id], 'notification:new', s.payload
    from decided d
    join stored s on s.id = d.id
    where (d.decision).outcome = 'now'
    order by d.place
  )
  select s.id, ((d.decision).outcome = 'now')::integer, ((d.decision).outcome = 'held')::integer, 0,
         ((d.decision).outcome = 'suppressed' and not d.over)::integer, d.over::integer, s.payload,
         (d.decision).outcome, (d.decision).rule, (d.decision).held_until
  from decided d
  left join stored s on s.id = d.id
  order by d.place;
end
$$;
comment on function callboard.create_each(
  text[], text[], text[], text[], jsonb[], text[], text[], text[], text[], text[], integer[]) is
  'Private. Several notifications of one recipient each, all or none; NOTIFY is left to the caller.';
