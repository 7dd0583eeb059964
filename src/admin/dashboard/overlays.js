// The dialogs over a list of requests, each with an address: `#/view/new`, and `#/view/ID` for a request's details.

import { go, link, parse } from './router.js';
import { can } from './session.js';
import { keepDraft, openNewRequest, takeDraft } from './new-request.js';
import { openRequest } from './request.js';

/** Returns what shows the dialog that an address names, and closes any other. `submitted(request)`: one was made. */
export function overlays(view, submitted) {
  let open = null;
  function closed(id) {
    if (open?.id === id) open = null;
    const now = parse(location.hash);
    // It was closed by hand, and not by going elsewhere.
    if (now.view === view && now.id === id) go(link(view, null, Object.fromEntries(now.query)));
  }
  function repeat(draft) {
    keepDraft(draft);
    go(link(view, 'new', Object.fromEntries(parse(location.hash).query)));
  }
  return {
    repeat,
    show({ id }) {
      if (open?.id === id) return;
      const before = open;
      open = null;
      before?.dialog.close();
      if (id === null) return;
      if (id === 'new' && !can('purge')) return go(link(view));
      const onclose = () => closed(id);
      open = {
        id,
        dialog:
          id === 'new'
            ? openNewRequest(takeDraft() ?? {}, { onclose, submitted })
            : openRequest(id, { onclose, repeat }),
      };
    },
  };
}
