// A certified OpenID Connect provider with its own pages for login and consent. Any password is accepted.
// Its one argument is JSON: { port, callback, back, backchannel, people: { login: claims } }.
import { readFileSync } from "node:fs";
import { Provider } from "oidc-provider";

const { port, callback, back, people, backchannel } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: "sentiloc",
      client_secret: "a secret: with + signs & more",
      redirect_uris: callback,
      post_logout_redirect_uris: back,
      backchannel_logout_uri: backchannel,
      backchannel_logout_session_required: true,
    },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username", "groups", "team"] },
  pkce: { required: () => true },
  cookies: { keys: ["only for tests"] },
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  // The service is on this machine, which the provider's own guard would not call; and it may be slow.
  fetch: (url, { dispatcher: _, signal: __, ...options }) => globalThis.fetch(url, options),
  async findAccount(_, sub) {
    const claims = people[sub] ?? {};
    return { accountId: sub, claims: async () => ({ sub, preferred_username: sub, ...claims }) };
  },
});

provider.listen(port, "127.0.0.1", () => console.log("listening"));
provider.on("backchannel.error", (_, error) => console.error("back-channel logout failed:", error));
