// The token of the cluster this process is in: who has it may do everything here.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { AuthenticationError } from "../runtime/errors.ts";
import { currentSession } from "../runtime/owner/index.ts";
import { sameToken } from "../runtime/transport/index.ts";

/** Takes as long whichever way they differ. */
export function isClusterToken(given: string): boolean {
  return sameToken(given, currentSession().parts.identity.token);
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** So that it can be kept, or travel in what is kept: only processes of this cluster read it. The same text gives the same. */
export function sealForCluster(text: string): string {
  const nonce = createHmac("sha256", keyFor("nonce")).update(text).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, keyFor("seal"), nonce);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64");
}

/** @throws AuthenticationError for what another cluster has sealed, or this one with another token. */
export function openSealed(sealed: string): string {
  const bytes = Buffer.from(sealed, "base64");
  try {
    const decipher = createDecipheriv(CIPHER, keyFor("seal"), bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    return decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES), undefined, "utf8") + decipher.final("utf8");
  } catch {
    throw new AuthenticationError("a secret was kept under another token than this cluster has now: define it again");
  }
}

function keyFor(purpose: string): Uint8Array {
  const { token } = currentSession().parts.identity;
  return new Uint8Array(hkdfSync("sha256", token, "", `troupe ${purpose}`, 32));
}
