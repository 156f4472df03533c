// The OpenAPI 3.1 document of the API, made of its routes.

import { ROUTES, type Route } from "./routes.ts";
import { ref, SCHEMAS } from "./schemas.ts";

export const BASE = "/api/v1";

export function openApi(version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of ROUTES) (paths[BASE + route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  return {
    openapi: "3.1.0",
    info: { title: "Troupe: graphs and their runs", version },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer", description: "The token of the cluster" } },
      schemas: SCHEMAS,
    },
  };
}

function operation({ path, id, summary, query = {}, body, status = 200, response, streams, open }: Route): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => (
    { name, in: "path", required: true, schema: { type: "string" } }
  ));
  const inQuery = Object.entries(query).map(([name, schema]) => ({ name, in: "query", required: false, schema }));
  const type = streams ? "application/x-ndjson" : "application/json";
  const json = (schema: object): object => ({ "application/json": { schema } });
  return {
    operationId: id, summary, parameters: [...inPath, ...inQuery],
    ...(open ? { security: [] } : {}),
    ...(body === undefined ? {} : { requestBody: { content: json(body) } }),
    responses: {
      [status]: { description: streams ? "One a line" : "Done", content: { [type]: { schema: response } } },
      default: { description: "What went wrong", content: json(ref("Error")) },
    },
  };
}
