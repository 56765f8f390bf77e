package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	streamPatience = time.Minute // for how long a client may read nothing of what is sent to it
	leavePatience  = time.Second // the same, once the configuration is on its way out
)

// patientWriter writes to a client that may read in its own time, but not never: one that is suspended is let go, and soon where a reload or the end of Caddy waits for it.
type patientWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	conn    *http.ResponseController // the server's own, beneath what middlewares wrap it in: they do not expect to be called during a write
	leaving context.Context          // ends with the configuration
}

func newPatientWriter(w http.ResponseWriter, leaving context.Context) *patientWriter {
	return &patientWriter{w: w, control: http.NewResponseController(w), conn: http.NewResponseController(innermost(w)), leaving: leaving}
}

func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// Write sends b at once.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(now().Add(streamPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	unhurried := context.AfterFunc(p.leaving, func() {
		_ = p.conn.SetWriteDeadline(now().Add(leavePatience)) // if that cannot be done, the client has the time that it had
	})
	defer unhurried()
	n, err := p.w.Write(b)
	if err == nil {
		err = p.control.Flush()
	}
	if err == nil { // the next write may be long in coming; over HTTP/2 a deadline that passes ends the stream
		_ = p.control.SetWriteDeadline(time.Time{})
	}
	return n, err
}
