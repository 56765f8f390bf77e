package caddymodule

import (
	"fmt"
	"io"
	"strings"
)

// progress is a bar on a terminal; elsewhere it shows nothing.
type progress struct {
	s     *screen
	shown bool
}

const barWidth = 30

func newProgress(w io.Writer) *progress { return &progress{s: newScreen(w)} }

func (p *progress) show(done, total int, label string) {
	if p.s.width == 0 {
		return
	}
	p.shown = true
	if total <= 0 {
		p.s.printf("\r\x1b[K%s %d", label, done)
		return
	}
	filled := min(barWidth, barWidth*done/total)
	bar := strings.Repeat("█", filled) + strings.Repeat("░", barWidth-filled)
	p.s.printf("\r\x1b[K%s %s %s", label, bar, fmt.Sprintf("%d/%d", done, total))
}

func (p *progress) clear() {
	if p.shown {
		p.s.printf("\r\x1b[K")
	}
}
