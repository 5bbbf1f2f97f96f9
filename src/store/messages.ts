import type { Database } from './database.ts';

interface MessageRow {
  readonly place: object;
  readonly notice: object;
}

/** Where one channel asked for approvals, and what its messages show, by the id of the request. */
export function channelMessages(database: Database, channel: string) {
  return {
    /** The last one counts, where it asked twice. */
    async keep(request: string, { place, notice }: MessageRow): Promise<void> {
      const text = `
        insert into channel_message (channel, request_id, place, notice) values ($1, $2, $3, $4)
        on conflict (channel, request_id) do update set place = excluded.place, notice = excluded.notice`;
      const values = [channel, request, JSON.stringify(place), JSON.stringify(notice)];
      await database.query({ name: 'keep_message', text }, values);
    },

    async read(request: string): Promise<MessageRow | null> {
      const text = 'select place, notice from channel_message where channel = $1 and request_id = $2';
      const [row] = await database.query<MessageRow>({ name: 'read_message', text }, [channel, request]);
      return row ?? null;
    },

    async forget(request: string): Promise<void> {
      const text = 'delete from channel_message where channel = $1 and request_id = $2';
      await database.query({ name: 'forget_message', text }, [channel, request]);
    },
  };
}
