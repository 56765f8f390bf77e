package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// editing is the address of the form for a changed payload.
const editing = "POST /events/{id}/resend"

// edit is the form for a changed payload.
type edit struct {
	Payload     string // empty if it cannot be edited
	Destination string // of those of the event; empty for all
	Refused     string // why what was sent was not taken
}

// editable is a payload as the form for editing has it; empty if it cannot be edited there: only JSON of which everything is shown, and over lines, can, because a
// browser changes the ends of lines, which mean nothing in JSON.
func editable(p *pane) string {
	if p.Hidden != "" || p.Masked || p.Cut || p.Binary || p.Size == 0 {
		return ""
	}
	indented, _ := verifiers.IndentJSON(p.Body, "  ", maxIndented)
	return string(indented)
}

// resendEvent sends a copy of an event with an edited payload.
func (x *exchange) resendEvent() error {
	id := x.r.PathValue("id")
	changed := edit{Payload: x.r.PostForm.Get("payload"), Destination: x.r.PostForm.Get("destination")}
	var payload bytes.Buffer // without the blanks that the form has put in: they would count for the source's max_body
	err := json.Unmarshal([]byte(changed.Payload), new(json.RawMessage))
	if err == nil {
		err = json.Compact(&payload, []byte(changed.Payload))
	}
	if err != nil {
		changed.Refused = "The edited payload is not JSON, so nothing was sent. " + place(changed.Payload, err)
		return x.editAgain(changed)
	}
	query := url.Values{}
	if changed.Destination != "" {
		query.Set("destination", changed.Destination)
	}
	answer, err := x.ask(Call{Method: http.MethodPost, Path: "events/" + url.PathEscape(id) + "/resend", Query: query, Raw: payload.Bytes()})
	var problem *Problem
	if errors.As(err, &problem) && (problem.Status == http.StatusBadRequest || problem.Status == http.StatusRequestEntityTooLarge) {
		changed.Refused = problem.Detail
		return x.editAgain(changed)
	}
	if err != nil {
		return err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil {
		return err
	}
	return x.redirect("/events/"+url.PathEscape(made.ID), "Sent as a new event. The one that it was made from stays as it is.")
}

// editAgain shows the form with what was written into it, and what is wrong with that. The page does not renew itself: its address is the form's.
func (x *exchange) editAgain(changed edit) error {
	data, err := x.eventData()
	if err != nil {
		return err
	}
	data.Edit = changed
	return x.render("event", http.StatusBadRequest, &Page{Title: "Event " + data.Event.ID, Nav: "events", Data: data})
}

// place says where JSON is broken, and how.
func place(text string, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err.Error() + "."
	}
	before := text[:min(max(syntax.Offset, 0), int64(len(text)))]
	return fmt.Sprintf("Line %d: %s.", strings.Count(before, "\n")+1, syntax)
}
