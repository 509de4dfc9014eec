-- What an Idempotency-Key was used for, and whether an answer is that of an earlier call.

-- Null: used before this column was there.
alter table callboard.idempotency_keys add column endpoint text;

drop function callboard.claim_key(text, text, bytea);

create function callboard.claim_key(caller text, key text, fingerprint bytea, endpoint text) returns jsonb
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  known callboard.idempotency_keys;
begin
  insert into callboard.idempotency_keys (caller, key, fingerprint, endpoint)
  values (caller, key, fingerprint, endpoint)
  on conflict do nothing;
  if found then
    return null;
  end if;
  select k.* into known from callboard.idempotency_keys k where k.caller = caller and k.key = key;
  if known.endpoint <> endpoint then
    raise exception 'this Idempotency-Key was used at another endpoint, %: send a new key with each new call',
      known.endpoint using errcode = 'CB409';
  end if;
  if known.fingerprint is distinct from fingerprint then
    raise exception 'this Idempotency-Key was used with another body: send a new key with each new call'
      using errcode = 'CB409';
  end if;
  return known.answer;
end
$$;
comment on function callboard.claim_key(text, text, bytea, text) is
  'Private. Null: the key is new, and the caller''s until its transaction ends. Else what was answered the first time.';

-- `created_notification`, and whether it was answered before.
create type callboard.created_once as (
  id uuid, created integer, held integer, folded integer, muted integer, rate_limited integer, payload text,
  outcome text, rule text, held_until timestamptz, repeated boolean
);

drop function callboard.create_once(
  text, text, bytea, text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean);

-- `endpoint` has a default for nodes that are older than it.
create function callboard.create_once(
  caller text, key text, fingerprint bytea, user_ids text[], followed_type text, followed_id text, type text,
  title text, message text, data jsonb, priority text, actor text, resource_type text, resource_id text,
  group_key text, expires_in integer, refuse_over_limit boolean, endpoint text default null
) returns callboard.created_once
language plpgsql volatile
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
  return row(made.*, false)::callboard.created_once;
end
$$;
comment on function callboard.create_once(
  text, text, bytea, text[], text, text, text, text, text, jsonb, text, text, text, text, text, integer, boolean,
  text) is
  'Private. Creates once for a caller''s key; again it gives the first answer.';
