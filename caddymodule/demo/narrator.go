package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The colours of a terminal.
const (
	plain  = ""
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	reset  = "\x1b[0m"
)

// narrator writes the story, one line for each happening.
type narrator struct {
	mu      sync.Mutex
	w       io.Writer
	color   bool
	now     func() time.Time
	started time.Time
}

func newNarrator(w io.Writer, color bool, now func() time.Time) *narrator {
	return &narrator{w: w, color: color, now: now, started: now()}
}

func (n *narrator) paint(color, text string) string {
	if !n.color || color == plain {
		return text
	}
	return color + text + reset
}

func (n *narrator) heading(title string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	rule := strings.Repeat("─", max(3, 96-utf8.RuneCountInString(title)))
	fmt.Fprintf(n.w, "\n%s %s\n", n.paint(bold, title), n.paint(dim, rule))
}

func (n *narrator) text(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.w, format+"\n", args...)
}

// line writes a happening: what it is, where, of which event, and the rest in words.
func (n *narrator) line(color, verb, where, event, words string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	elapsed := n.now().Sub(n.started).Seconds()
	fmt.Fprintln(n.w, strings.TrimRight(fmt.Sprintf("%s %s %-15s  %-13s  %s",
		n.paint(dim, fmt.Sprintf("%7.3f", elapsed)), n.paint(color, fmt.Sprintf("%-10s", verb)), where, event, words), " "))
}

// narrate tells a line of the gateway's log. note is what the story knows about it.
func (n *narrator) narrate(e *entry, note string) {
	switch e.Message {
	case msgAccepted:
		n.line(green, "accepted", e.Source, e.Event, dash(fmt.Sprintf("%s → %s", e.Type, plural(e.Deliveries, "delivery", "deliveries")), note))
	case msgDuplicate:
		n.line(yellow, "duplicate", e.Source, e.Event, dash("same event, stored once", note))
	case msgRefused:
		n.line(red, "refused", e.Source, "", dash(fmt.Sprintf("%d %s", e.Status, e.Error), note))
	case msgNotStored:
		n.line(red, "not stored", e.Source, "", dash(fmt.Sprintf("%d %s", e.Status, e.Error), note))
	case msgFailed:
		n.line(yellow, "failed", e.Destination, e.Event, n.failure(e))
	case msgDelivered:
		n.line(green, "delivered", e.Destination, e.Event, fmt.Sprintf("%s, %.2f s after it came in", plural(e.Attempts, "attempt", "attempts"), e.Age))
	case msgDead:
		n.line(red, "dead", e.Destination, e.Event, fmt.Sprintf("given up after %s: %s", plural(e.Attempts, "attempt", "attempts"), outcome(e.Class, e.Status)))
	case msgBreaker:
		n.line(cyan, "breaker", e.Destination, "", breakerWords(e.To))
	default:
		if e.Level == "warn" || e.Level == "error" {
			n.line(yellow, e.Level, e.Logger, "", dash(e.Message, e.Error))
		}
	}
}

func (n *narrator) failure(e *entry) string {
	words := fmt.Sprintf("attempt %d: %s", e.Attempt, outcome(e.Class, e.Status))
	if e.Next == 0 {
		return words
	}
	seconds, fraction := int64(e.Next), e.Next-float64(int64(e.Next))
	wait := time.Unix(seconds, int64(fraction*1e9)).Sub(n.now())
	return fmt.Sprintf("%s; again in %.2f s", words, max(0, wait.Seconds()))
}

// outcome says how an attempt failed.
func outcome(class string, status int) string {
	switch class {
	case "status":
		return fmt.Sprintf("the application answered %d", status)
	case "timeout":
		return "the application did not answer in time"
	case "dial":
		return "the application refuses connections"
	case "reset":
		return "the application hung up"
	case "enrich":
		return "the result cannot be fetched yet"
	}
	return class
}

func breakerWords(state string) string {
	switch state {
	case "open":
		return "open: deliveries are held and spend no attempts; the sources go on being accepted"
	case "half-open":
		return "half open: one delivery tries whether the application is back"
	case "closed":
		return "closed: the application is back; deliveries go out slowly at first"
	}
	return state
}

// dash puts together what there is.
func dash(words, note string) string {
	if note == "" {
		return words
	}
	return words + " — " + note
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
