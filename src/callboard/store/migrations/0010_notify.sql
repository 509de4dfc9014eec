-- All that a notification may have, for SQL callers too; and one place that chooses between people and followers.

create function callboard.create_for(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
as $$
begin
  if followed_type is not null then
    return callboard.create_for_followers(followed_type, followed_id, type, title, message, data, priority, actor,
      resource_type, resource_id, group_key, expires_in);
  end if;
  return callboard.create_notification(user_ids, type, title, message, data, priority, actor, resource_type,
    resource_id, group_key, expires_in, refuse_over_limit);
end
$$;
comment on function callboard.create_for(
  text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean) is
  'Private. For people, or for everybody who follows a resource; NOTIFY is left to the caller.';

create or replace function callboard.create_soon(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile
set lock_timeout = '20ms'
as $$
begin
  return callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
end
$$;

create or replace function callboard.create_within(
  user_ids text[], followed_type text, followed_id text, type text, title text, message text, data jsonb,
  priority text, actor text, resource_type text, resource_id text, group_key text, expires_in integer,
  refuse_over_limit boolean
) returns callboard.created_notification
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform pg_notify('callboard_outbox', '');
  return callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
end
$$;

create or replace function callboard.create_once(
  caller text, key text, fingerprint bytea, user_ids text[], followed_type text, followed_id text, type text,
  title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, refuse_over_limit boolean, endpoint text default null
) returns callboard.created_once
language plpgsql volatile
set lock_timeout = '20ms'
as $$
#variable_conflict use_variable
declare
  made callboard.created_notification;
  answer jsonb := callboard.claim_key(caller, key, fingerprint, endpoint);
begin
  if answer is not null then
    made := jsonb_populate_record(made, answer);
    return row(made.*, true)::callboard.created_once;
  end if;
  made := callboard.create_for(user_ids, followed_type, followed_id, type, title, message, data, priority, actor,
    resource_type, resource_id, group_key, expires_in, refuse_over_limit);
  if made.id is null then
    delete from callboard.idempotency_keys k where k.caller = caller and k.key = key;
  else
    update callboard.idempotency_keys k set answer = to_jsonb(made) where k.caller = caller and k.key = key;
  end if;
  return row(made.*, false)::callboard.created_once;
end
$$;

-- Both or none, and named as the caller has named them: `prefix` is that of the parameters.
create function callboard.check_named(prefix text, type text, id text) returns void
language plpgsql stable
as $$
begin
  if (type is null) <> (id is null) then
    perform callboard.refuse(prefix || case when type is null then '_type' else '_id' end,
      format('give both %1$s_type and %1$s_id, or neither', prefix));
  end if;
  if length(type) > 64 or type !~ '^[a-z0-9][a-z0-9_.-]*$' then
    perform callboard.refuse(prefix || '_type', prefix || '_type must match [a-z0-9][a-z0-9_.-]{0,63}');
  end if;
  if length(id) not between 1 and 200 then
    perform callboard.refuse(prefix || '_id', prefix || '_id must have 1 to 200 characters');
  end if;
end
$$;
comment on function callboard.check_named(text, text, text) is
  'Private. Raises SQLSTATE CB422 unless it names a resource, or nothing.';

-- What jsonb takes and clients do not: many libraries cannot read such numbers, or so many levels.
create function callboard.check_data(data jsonb) returns void
language plpgsql immutable
as $$
declare
  rest text := data::text;
begin
  if length(rest) < 128 then  -- neither has room
    return;
  end if;
  rest := regexp_replace(rest, '"(?:[^"\\]|\\.)*"', '', 'g');
  -- A double has up to 309 digits before the point. A pattern may repeat up to 255 times.
  if length(rest) > 309 and rest ~ '(?:^|[^0-9.])[0-9]{155}[0-9]{155}' then
    perform callboard.refuse('data', 'data: a number is out of range');
  end if;
  -- Level by level, from within. The body that it would be sent in makes one more.
  for level in 1..63 loop
    exit when rest !~ '[[{]';
    rest := regexp_replace(rest, '[[{][^][{}]*[]}]', '', 'g');
  end loop;
  if rest ~ '[[{]' then
    perform callboard.refuse('data', 'data must not be nested deeper than 63');
  end if;
end
$$;
comment on function callboard.check_data(jsonb) is
  'Private. Raises SQLSTATE CB422 for what REST refuses of data, as far as jsonb holds it.';

-- A function that gets parameters is another one for PostgreSQL: who may call it is remembered meanwhile.
select set_config('callboard.notify_rights', coalesce(proacl::text, ''), true)
from pg_proc
where oid = 'callboard.notify(text[], text, text, text, jsonb)'::regprocedure;

drop function callboard.notify(text[], text, text, text, jsonb);

create function callboard.notify(
  user_ids text[], type text, title text, message text, data jsonb default '{}', priority text default 'normal',
  actor text default null, resource_type text default null, resource_id text default null,
  group_key text default null, expires_in integer default null, subscribers_of_type text default null,
  subscribers_of_id text default null
) returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  made callboard.created_notification;
begin
  perform callboard.check_named('resource', resource_type, resource_id);
  perform callboard.check_named('subscribers_of', subscribers_of_type, subscribers_of_id);
  perform callboard.check_data(data);
  if actor is not null and not callboard.is_user_id(actor) then
    perform callboard.refuse('actor', 'actor must have 1 to 255 characters, none of them a control character');
  end if;
  if subscribers_of_type is not null and user_ids is not null then
    perform callboard.refuse('user_ids', 'user_ids must be null where subscribers_of_type says who is notified');
  end if;
  made := callboard.create_within(user_ids, subscribers_of_type, subscribers_of_id, type, title, message, data,
    priority, actor, resource_type, resource_id, group_key, expires_in, false);
  return made.id;
end
$$;
comment on function callboard.notify(
  text[], text, text, text, jsonb, text, text, text, text, text, integer, text, text) is
  'Notify people when, and only when, the calling transaction commits. Returns the notification''s id.';

do $$
declare
  rights aclitem[] := nullif(current_setting('callboard.notify_rights'), '')::aclitem[];
  grantee text;
begin
  if rights is null then
    return;  -- everybody's, as PostgreSQL has it
  end if;
  revoke execute on function callboard.notify from public;
  for grantee in
    select case when r.grantee = 0 then 'public' else r.grantee::regrole::text end from aclexplode(rights) r
  loop
    execute 'grant execute on function callboard.notify to ' || grantee;
  end loop;
end
$$;
