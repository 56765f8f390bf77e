package queue

import (
	"path"
	"strings"
)

// MatchType reports whether a glob of [path.Match] fits an event's type. Slashes, which separate names in a path, are letters like any other in a type. The error is
// [path.ErrBadPattern].
func MatchType(glob, eventType string) (bool, error) {
	return path.Match(slashless(glob), slashless(eventType))
}

func slashless(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
