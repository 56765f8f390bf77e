package torture

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
)

// Destinations of the events. Deliveries to kept are never claimed while events are written, those to the others are, each by one goroutine.
const kept = "kept"

var drained = []string{"drained0", "drained1"}

const (
	source      = "torture"
	dedupWindow = 24 * time.Hour
)

// name is what the id of an event says about it, and that is all there is to know: the rest of the event follows from it.
type name struct {
	Run, Commit  int
	N, Of        int // number in its commit, and size of the commit
	Destinations []string
	OrderKey     string // of the deliveries but those to kept; may be empty
}

func (n *name) String() string {
	return fmt.Sprintf("%d.%d.%d.%d.%s.%s", n.Run, n.Commit, n.N, n.Of, strings.Join(n.Destinations, "+"), n.OrderKey)
}

// commit identifies the commit.
func (n *name) commit() string { return fmt.Sprintf("%d.%d", n.Run, n.Commit) }

func parseName(id string) (*name, error) {
	parts := strings.Split(id, ".")
	if len(parts) != 6 {
		return nil, fmt.Errorf("%q is not an event of this test", id)
	}
	n := &name{Destinations: strings.Split(parts[4], "+"), OrderKey: parts[5]}
	for i, field := range []*int{&n.Run, &n.Commit, &n.N, &n.Of} {
		var err error
		if *field, err = strconv.Atoi(parts[i]); err != nil {
			return nil, fmt.Errorf("%q is not an event of this test: %w", id, err)
		}
	}
	return n, nil
}

// event makes the event with a name.
func (n *name) event(largest int) queue.NewEvent {
	id := n.String()
	ev := queue.NewEvent{
		Event: queue.Event{
			Source: source, Provider: "hmac", ReceivedAt: time.Now().Truncate(time.Millisecond), EventID: id, Type: "torture." + n.OrderKey,
			Method: http.MethodPost, URL: "https://hooks.example.com/" + id,
			Header: http.Header{"Content-Type": {"text/plain"}, "X-Id": {id}}, Body: bodyOf(id, largest),
		},
		DedupKey: id, DedupWindow: dedupWindow,
	}
	for _, d := range n.Destinations {
		nd := queue.NewDelivery{Destination: d}
		if d != kept {
			nd.OrderKey = n.OrderKey
		}
		ev.Deliveries = append(ev.Deliveries, nd)
	}
	return ev
}

// bodyOf is the body of an event: mostly small, sometimes up to largest bytes.
func bodyOf(id string, largest int) []byte {
	h := fnv.New64a()
	h.Write([]byte(id))
	random := rand.New(rand.NewPCG(h.Sum64(), 1))
	size := 16 + random.IntN(1200)
	if random.IntN(16) == 0 {
		size = random.IntN(largest)
	}
	body := make([]byte, 0, size+16)
	for len(body) < size {
		body = strconv.AppendUint(body, random.Uint64(), 36)
	}
	return body[:size]
}

// randomName makes up the names of one commit.
func randomNames(random *rand.Rand, run, commit int) []*name {
	of := 1
	if random.IntN(6) == 0 {
		of = 2 + random.IntN(4)
	}
	names := make([]*name, of)
	for i := range names {
		n := &name{Run: run, Commit: commit, N: i, Of: of}
		// The events of a larger commit are never pruned while events are written, so half a commit shows.
		if of > 1 || random.IntN(2) == 0 {
			n.Destinations = append(n.Destinations, kept)
		}
		if len(n.Destinations) == 0 || random.IntN(4) == 0 {
			n.Destinations = append(n.Destinations, drained[random.IntN(len(drained))])
			if random.IntN(3) == 0 {
				n.OrderKey = "k" + strconv.Itoa(random.IntN(8))
			}
		}
		names[i] = n
	}
	return names
}
