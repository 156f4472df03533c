// Definitions of stores with secrets in them, as they are kept and as they travel with code: sealed as a whole, readable in the
// cluster alone.

import { openSealed, sealForCluster } from "../../sdk/contract.ts";
import { isSecretName, keepSecret, secretsOf } from "../run/secrets.ts";
import type { StoreDefinition } from "./define-store.ts";

export type KeptDefinition = StoreDefinition | { readonly sealed: string };

export function sealed(definition: StoreDefinition): KeptDefinition {
  return secretsIn(definition).length === 0 ? definition : { sealed: sealForCluster(JSON.stringify(definition)) };
}

export function unsealed(kept: KeptDefinition): StoreDefinition {
  const definition = "sealed" in kept ? (JSON.parse(openSealed(kept.sealed)) as StoreDefinition) : kept;
  hideSecrets(definition);
  return definition;
}

/** From now on they are "***" in all that is told here. */
export function hideSecrets(definition: StoreDefinition): void {
  secretsIn(definition).forEach(keepSecret);
}

/** Without the scheme of an Authorization header. */
function bareOf(value: string): string {
  return value.slice(value.lastIndexOf(" ") + 1);
}

function secretsIn({ s3, http }: StoreDefinition): string[] {
  const { url, headers = {} } = typeof http === "object" ? http : { url: http };
  const inHeaders = Object.entries(headers).filter(([name]) => isSecretName(name) || /authorization|cookie|key/i.test(name));
  const inUrls = [url, s3?.endpoint].flatMap((one) => (one !== undefined && URL.canParse(one) ? secretsOf(new URL(one)) : []));
  const ofHeaders = inHeaders.flatMap(([, value]) => [value, bareOf(value)]);
  return [s3?.secretAccessKey, s3?.sessionToken, ...ofHeaders, ...inUrls].filter(Boolean) as string[];
}
