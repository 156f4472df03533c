// The value format's public face.

export {
  HANDLE_BRAND, REDUCE_BRAND, REF_BRAND, REMOTE_CLASS_BRAND, REMOTE_FUNCTION_BRAND, type Reducible, type Staying, STAYS_BRAND,
} from "./brands.ts";
export { createCodec, mayBeViewed } from "./codec.ts";
export type { DecodeHooks, EncodeHooks, Encoded, ValueCodec } from "./contract.ts";
export { learnSerializer, registerSerializer, serializerOf } from "./serializers.ts";
export { decodeThrown, encodeThrown, type ReceivedContext, type ThrownContext } from "./errors.ts";
export { preloadArrow } from "./arrow.ts";
export { type BlockSource, bufferPlace, type BufferPlace, byteArrayHead, headBytes } from "./large-block.ts";
