// What the key, or the signed-in person, may do here.
import { getKey } from "./api.js";

// For a read-only key, everything that sends or changes is hidden. Null without keys.
export async function readRights() {
  const key = await getKey().catch(() => null);
  if (!key?.required || !key.id) return null;
  const isReadOnly = !key.scopes.some((scope) => ["write", "admin"].includes(scope));
  document.body.dataset.rights = isReadOnly ? "read" : "write";
  return { ...key, isReadOnly };
}
