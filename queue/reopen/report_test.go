package reopen

import (
	"testing"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/memstore"
)

// TestLateReport tells of a failure of a store that was replaced because of it: the one in its place stays.
func TestLateReport(t *testing.T) {
	s, err := New(Options{Open: func() (queue.Store, error) { return memstore.New(memstore.Options{}), nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := s.Unwrap()
	s.failed <- first
	for name := range s.Wake() {
		if name == "" && s.Unwrap() != nil && s.Unwrap() != first {
			break
		}
	}
	second := s.Unwrap()
	for range 3 { // there is room for one: the manager has looked at the first of them
		s.failed <- first
	}
	if s.Unwrap() != second {
		t.Error("a store was replaced for the failure of the one before it")
	}
}
