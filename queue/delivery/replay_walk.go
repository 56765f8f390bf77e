package delivery

import (
	"slices"

	"github.com/sluice-webhooks/sluice/queue"
)

// replayAhead bounds the events that a job remembers. The store lists events from the newest to the oldest, and a job puts them back the other way round, so that those of an
// order key come in their order. Where there are more, the list is walked through again for the next ones.
const replayAhead = 1 << 20

// replayPosition is how far a job is.
type replayPosition struct {
	Done queue.ID `json:"done,omitempty"` // this event and all before it are done

	// Jobs of earlier versions went from the newest event to the oldest. What those have done is left out.
	Cursor string   `json:"cursor,omitempty"` // it is before this page,
	After  queue.ID `json:"after,omitempty"`  // or not before this event,
	Index  int      `json:"index,omitempty"`  // or among the first so many of the request's ids
}

// ahead returns the next events of a job, oldest first. more says that there are others after them; ok is false if the job ends.
func (j *replayRun) ahead() (ids []queue.ID, more, ok bool) {
	request, position := &j.record.Request, j.record.Position
	if len(request.IDs) > 0 {
		ids = slices.Sorted(slices.Values(request.IDs[min(position.Index, len(request.IDs)):]))
		return slices.DeleteFunc(ids, func(id queue.ID) bool { return id <= position.Done }), false, true
	}
	f := request.Filter
	for f.Cursor = position.Cursor; ; {
		var page queue.Page
		if !j.try(func() (err error) {
			page, err = j.replays.engine.Store.(queue.Inspector).Events(j.ctx, f)
			return err
		}) {
			return nil, false, false
		}
		for _, s := range page.Events {
			if id := s.Event.ID; id > position.Done && (position.After == 0 || id < position.After) {
				ids = append(ids, id)
			}
		}
		f.Cursor = page.Next
		end := f.Cursor == "" || len(page.Events) > 0 && page.Events[len(page.Events)-1].Event.ID <= position.Done
		if surplus := len(ids) - j.replays.ahead; surplus > 0 && (end || surplus > j.replays.ahead) {
			ids, more = slices.Delete(ids, 0, surplus), true
		}
		if end {
			slices.Reverse(ids)
			return ids, more, true
		}
	}
}
