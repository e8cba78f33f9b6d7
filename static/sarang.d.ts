/**
 * The types of sarang.js, which describes what the methods and events are for.
 *
 * Put it beside a copy of sarang.js, or name it in tsconfig.json for the address you import from:
 *     "paths": { "http://127.0.0.1:8000/static/sarang.js": ["./sarang.d.ts"] }
 */

/** "EPOCH:SEQ": where a message is in its room. */
export type Position = string;
/** RFC 3339, UTC. */
export type Timestamp = string;

/** The server's codes, and those of the module; a later server may have more. */
export type ErrorCode =
  | 'already_in_room' | 'backend_unavailable' | 'bad_json' | 'bad_request' | 'bad_room_name' | 'content_too_long' | 'forbidden'
  | 'id_reused' | 'not_found' | 'not_in_room' | 'rate_limited' | 'room_exists' | 'room_full' | 'room_not_found' | 'storage_unavailable'
  | 'too_many_rooms' | 'unauthorized' | 'unavailable' | 'unknown_type' | 'user_not_found'
  | 'closed' | 'queue_full' | 'timeout' | 'too_many_requests' | 'unconfirmed'
  | (string & {});

/** What the promises of the module are rejected with. */
export interface SarangError extends Error {
  code: ErrorCode;
  /** Of a ban, and until when; null: for good. */
  reason?: string;
  until?: Timestamp | null;
}

// Options

export interface SarangOptions {
  /**
   * The address of `/ws` with `?username=` or `?ticket=`; a function is called for each attempt. An error it throws counts as a
   * failed attempt, one with `retry === false` closes with 4001.
   */
  url: string | URL | (() => string | URL | Promise<string | URL>);
  /** A guest's secret of 16–64 characters, such as `newId()`. */
  key?: string | undefined;
  /** Each address has a ticket of its own, so a refused one is replaced. */
  ticketed?: boolean | undefined;
  /** Unsent messages kept: `QUEUE_MAX`, when left out. */
  queueMax?: number | undefined;
  /** Another implementation, for where there is none. */
  WebSocket?: (new (url: string) => WebSocketLike) | undefined;
}

/** As much of a WebSocket as the module uses. */
export interface WebSocketLike {
  readonly readyState: number;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  send(text: string): void;
  close(): void;
}

// States

export type State = ConnectingState | ConnectedState | ReconnectingState | ClosedState;
export interface ConnectingState { name: 'connecting'; attempt: number }
export interface ConnectedState { name: 'connected' }
export interface ReconnectingState {
  name: 'reconnecting';
  attempt: number;
  retryInMs: number;
  /** Milliseconds since 1970. */
  retryAt: number;
  code: number;
  reason: string;
}
export interface ClosedState {
  name: 'closed';
  code: number;
  reason: string;
  /** 4006, of a ban. */
  until?: Timestamp | null | undefined;
}

// What is said

/** A message of ours. The object stays the same while its status changes. */
export interface Outgoing {
  readonly id: string;
  readonly kind: 'chat' | 'whisper';
  /** Of a chat. */
  readonly room?: string;
  /** Of a whisper. */
  readonly to?: string;
  readonly content: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly status: 'pending' | 'sent' | 'failed';
  /** Why it failed. */
  readonly error: ErrorCode | null;
  /** Of a chat that was acknowledged. */
  readonly position: Position | null;
  /** Fulfilled when it is sent, rejected with a `SarangError` when it fails; after `retry()` another one. */
  readonly done: Promise<Outgoing>;
}

/** One that can be awaited itself: `await chat.say(…)`. What passes through a promise, as the result of an async function, is awaited there. */
export interface Sending extends Outgoing {
  readonly then: PromiseLike<Outgoing>['then'];
}

// What is heard

export interface ChatMessage {
  type: 'chat';
  room: string;
  username: string;
  content: string;
  timestamp: Timestamp;
  position: Position;
  /** The author is a guest, where there are accounts. */
  guest?: true;
  /** Of our own `Outgoing` message. */
  id?: string | undefined;
}

/** In the place of a message that a moderator deleted. */
export interface DeletedMessage {
  type: 'deleted';
  room: string;
  position: Position;
}

export type HistoryMessage = ChatMessage | DeletedMessage;

export interface Welcome {
  type: 'welcome';
  username: string;
  /** Null: of a guest. */
  expires_at: Timestamp | null;
  guest?: true;
  admin?: true;
}

export interface RoomJoined {
  type: 'room_joined';
  room: string;
  /** Those of `history` that were not reported before. */
  messages: HistoryMessage[];
  /** Whether some between what was reported and these are gone, or may be. */
  gap: boolean;
  /** Whether it is the first time since `join()`. */
  first: boolean;
  recovered: boolean;
  history: HistoryMessage[];
  /** The others, in a room of up to 200. */
  online_users: string[];
  /** Those of them that are guests, where there are accounts. */
  guests?: string[];
  /** All, we too. */
  online_count: number;
  /** Null: we were in it already, and nothing was told of it. */
  position: Position | null;
}

export interface JoinFailed {
  room: string;
  code: ErrorCode;
  message: string;
  reason?: string | undefined;
  until?: Timestamp | null | undefined;
}

export interface RoomLeft {
  type?: 'room_left';
  room: string;
  /** We did not ask for it: a moderator's text, or `kicked`, `banned`, `room_removed`. */
  reason?: string;
  until?: Timestamp | null;
}

export interface Whisper {
  type: 'whisper';
  from: string;
  to: string;
  content: string;
  timestamp: Timestamp;
  guest?: true;
  id?: string | undefined;
}

export interface Deleted {
  room: string;
  /** As the message was reported. */
  position: Position;
}

export interface RoomInfo {
  name: string;
  users: number;
  max_users: number;
  messages?: number;
  created_at?: Timestamp;
  [field: string]: unknown;
}

export interface RoomList {
  type: 'room_list';
  rooms: RoomInfo[];
  /** There are more than fit. */
  next?: string;
}

export interface RoomsChanged {
  /** New ones, and those that have changed. */
  changed: RoomInfo[];
  /** Names. */
  removed: string[];
}

export interface UserJoined { type: 'user_joined'; room: string; username: string; guest?: true }
export interface UserLeft { type: 'user_left'; room: string; username: string; guest?: true }
export interface RoomUsers { type: 'room_users'; room: string; count: number }

/** An error that is about nothing the module has asked for. */
export interface ServerError { type: 'error'; code: ErrorCode; message: string; id?: string }

/** The events, with what their `detail` is. */
export interface SarangEventMap {
  state: CustomEvent<State>;
  welcome: CustomEvent<Welcome>;
  room_joined: CustomEvent<RoomJoined>;
  join_failed: CustomEvent<JoinFailed>;
  chat: CustomEvent<ChatMessage & { gap: boolean }>;
  deleted: CustomEvent<Deleted>;
  whisper: CustomEvent<Whisper>;
  message: CustomEvent<Outgoing>;
  room_left: CustomEvent<RoomLeft>;
  rooms: CustomEvent<RoomsChanged>;
  user_joined: CustomEvent<UserJoined>;
  user_left: CustomEvent<UserLeft>;
  room_users: CustomEvent<RoomUsers>;
  room_list: CustomEvent<RoomList>;
  error: CustomEvent<ServerError>;
}

export type Listener<Event> = ((event: Event) => void) | { handleEvent(event: Event): void } | null;
export type ListenerOptions = boolean | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal };

// What is asked

export interface HistoryPage {
  room: string;
  /** Oldest first; none, where `before` is of a past that the server has lost. */
  messages: HistoryMessage[];
  /** Whether there are older ones. */
  more: boolean;
  position: Position | null;
}

export interface UserInfo { username: string; guest?: boolean; rooms: string[]; connections: number; since: Timestamp }
export interface Ban { username: string; room?: string; until: Timestamp | null; reason: string | null; by: string; at: Timestamp }
export interface Ack { type: 'ack'; position?: Position }

export interface RoomSettings {
  max_users?: number;
  history_messages?: number;
  /** Null: without an end. */
  history_seconds?: number | null;
  write?: 'everyone' | 'signed_in' | 'moderators';
  kept?: boolean;
}

/** What moderators do: its fields, and the answer. */
export interface Acts {
  kick: [{ user: string; room?: string; reason?: string }, Ack];
  ban: [{ user: string; room?: string; seconds?: number; reason?: string }, Ack];
  unban: [{ user: string; room?: string }, Ack];
  revoke: [{ user: string }, Ack];
  delete: [{ room: string; position: Position }, Ack];
  set_room: [{ room: string } & RoomSettings, RoomInfo];
  remove_room: [{ room: string }, Ack];
  publish: [{ room: string; content: string; username?: string; id?: string }, Ack];
  notify: [{ user: string; content: string; from?: string; id?: string }, Ack];
  users: [{ after?: string; limit?: number }, { users: UserInfo[]; next?: string }];
  user: [{ user: string }, UserInfo];
  bans: [{ after?: string; limit?: number }, { bans: Ban[]; next?: string }];
}
/** Those that need no field. */
type ListingAct = 'users' | 'bans';

export class Sarang extends EventTarget {
  /** Connects at once. Throws a TypeError where there is no WebSocket, or for an address that is none. */
  constructor(options: SarangOptions);

  readonly state: State;
  /** The name the server knows us by, once it has told. */
  readonly username: string | null;
  /** Whether the server lets us moderate. */
  readonly admin: boolean;

  join(room: string): Promise<RoomJoined>;
  leave(room: string): void;
  say(room: string, content: string): Sending;
  whisper(to: string, content: string): Sending;
  retry(message: Outgoing): Sending;
  history(room: string, page?: { before?: Position | undefined; limit?: number | undefined }): Promise<HistoryPage>;
  listRooms(): void;
  watchRooms(): void;
  unwatchRooms(): void;
  act<Type extends ListingAct>(type: Type, fields?: Acts[Type][0]): Promise<Acts[Type][1]>;
  act<Type extends keyof Acts>(type: Type, fields: Acts[Type][0]): Promise<Acts[Type][1]>;
  extend(ticket: string): Promise<Welcome>;
  retryNow(): void;
  close(): void;

  addEventListener<Type extends keyof SarangEventMap>(type: Type, listener: Listener<SarangEventMap[Type]>, options?: ListenerOptions): void;
  removeEventListener<Type extends keyof SarangEventMap>(type: Type, listener: Listener<SarangEventMap[Type]>, options?: ListenerOptions): void;
}

/** An id, or a guest's key, that nobody guesses. */
export function newId(): string;
/** As the server has a name: in Unicode's normalization form C. */
export function nameOf(text: string): string;
/** Unsent messages kept, when `queueMax` is left out. */
export const QUEUE_MAX: number;

// Event streams

export interface EventsOptions {
  /** The address of a stream, such as `…/sse/dashboard`; with `channels`, that of the server. A page may leave it out. */
  url?: string | URL | undefined;
  channels?: string | string[] | undefined;
  /** Only what came after this event. */
  lastEventId?: string | number | null | undefined;
  /** A function is called for each attempt. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Fetches a one-use ticket for each attempt. */
  ticket?: (() => string | Promise<string>) | undefined;
  signal?: AbortSignal | undefined;
  /** A connection without a byte for so long is given up. */
  silenceMs?: number | undefined;
  fetch?: typeof globalThis.fetch | undefined;
}

/** Percent; `node`: of a cluster, which one was measured. */
export interface SystemMetrics { cpu: number; memory: number; disk: number; node?: string; time: Timestamp }

/** README.md describes the figures, under "Live metrics". */
export interface ApiMetrics {
  requests: number;
  avg_response_ms: number;
  error_rate: number;
  total_requests: number;
  total_error_rate: number;
  subscribers: number;
  /** Null: nothing was answered. */
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  rooms: number;
  users: number;
  websockets: number;
  event_streams: number;
  connections: number;
  /** In so many `seconds`, as `deliveries`. */
  messages: number;
  deliveries: number;
  seconds: number;
  outbox_peak_bytes: number;
  refused: number;
  slow_consumers: number;
  /** Null, as the next two: there is no store. */
  store_up: boolean | null;
  store_queue: number | null;
  store_commit_ms: number | null;
  /** Null: it is no cluster. */
  engine_up: boolean | null;
  time: Timestamp;
}

/** With the figures that a back end posts. */
export interface BusinessMetrics { active_users: number; revenue?: number; orders?: number; simulated?: string[]; time: Timestamp; [figure: string]: unknown }

/** Events are gone: those after `requested` and before `oldest`. */
export interface Gap { requested: string | number; oldest: number; newest: number; restarted: boolean }

/** The server's own events, by their types. Those of your back end can be added: `declare module` and this interface. */
export interface StreamEventMap {
  system_metrics: SystemMetrics;
  api_metrics: ApiMetrics;
  business_metrics: BusinessMetrics;
  gap: Gap;
}

export interface StreamEventOf<Type, Data> {
  type: Type;
  /** Of the last event that had one. */
  id: string | null;
  data: Data;
}
export type StreamEvent<Events = StreamEventMap> = { [Type in keyof Events]: StreamEventOf<Type, Events[Type]> }[keyof Events];

export type StreamState =
  | { name: 'idle' | 'connecting' | 'connected' | 'closed' }
  | { name: 'reconnecting'; reason: string; status: number | null; retryInMs: number; retryAt: number };

/** What a stream's loop ends with, when the server refuses it for good. */
export interface StreamRefusal extends SarangError { status: number }

export class EventStream<Events = StreamEventMap> extends EventTarget {
  constructor(options: EventsOptions);
  readonly state: StreamState;
  readonly lastEventId: string | null;
  retryNow(): void;
  close(): void;
  [Symbol.asyncIterator](): AsyncGenerator<StreamEvent<Events>, void, void>;

  addEventListener(type: 'state', listener: Listener<CustomEvent<StreamState>>, options?: ListenerOptions): void;
  removeEventListener(type: 'state', listener: Listener<CustomEvent<StreamState>>, options?: ListenerOptions): void;
}

/** Follows an event stream: `for await (const { type, id, data } of events(…)) …`. */
export function events<Events = StreamEventMap>(options?: string | URL | EventsOptions): EventStream<Events>;
