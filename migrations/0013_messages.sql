-- Messages in a chat that ask for an approval, so that they can be changed once it is decided, wherever that was. A row
-- goes when its message has changed for the last time.
create table channel_message (
  channel    text collate "C" not null,
  request_id text collate "C" not null,
  place      jsonb not null,
  notice     jsonb not null,
  primary key (channel, request_id)
);
