package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-webhooks/sluice/queue"
	"github.com/sluice-webhooks/sluice/queue/badgerstore"
)

// writer uses a store from several goroutines until it is killed or its standard input ends.
type writer struct {
	*spec
	store  *badgerstore.Store
	commit atomic.Int64

	mu sync.Mutex // of standard output
}

func runWriter(s *spec) error {
	store, err := badgerstore.Open(s.Dir, s.options())
	if err != nil {
		return err
	}
	w := &writer{spec: s, store: store}
	w.say(saysOpen)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what counts
	}()
	var wg sync.WaitGroup
	var errs []error
	var mu sync.Mutex
	run := func(task func(context.Context) error) {
		wg.Go(func() {
			if err := task(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
				cancel()
			}
		})
	}
	for range s.Writers {
		run(w.enqueue)
	}
	for _, d := range drained {
		run((&drainer{writer: w, destination: d}).run)
	}
	run(w.count)
	run(w.maintain)
	wg.Wait()
	return errors.Join(errors.Join(errs...), store.Close())
}

// say writes a line at once.
func (w *writer) say(what string, about ...any) { w.sayAll([]string{sentence(what, about...)}) }

func sentence(what string, about ...any) string {
	return strings.TrimSuffix(fmt.Sprintln(append([]any{what}, about...)...), "\n")
}

// sayAll writes lines at once: what a process that is killed has not written is not heard.
func (w *writer) sayAll(lines []string) {
	if len(lines) == 0 {
		return
	}
	text := strings.Join(lines, "\n") + "\n"
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := os.Stdout.WriteString(text); err != nil {
		os.Exit(2) // nobody listens any more
	}
}

// pause lets others go on for a while.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// refused sorts out errors: a full store, a writer that ends, and a store that can no longer be used.
func (w *writer) refused(ctx context.Context, err error) (again bool, fatal error) {
	select {
	case <-ctx.Done():
		return false, nil
	default:
	}
	if errors.Is(err, queue.ErrFull) {
		w.say(saysFull)
		pause(ctx, 20*time.Millisecond)
		return true, nil
	}
	w.say(saysFailed, strings.ReplaceAll(err.Error(), "\n", "; "))
	return false, err
}

// enqueue stores commits of one or more events, and now and then what it has stored before, which must not be stored again.
func (w *writer) enqueue(ctx context.Context) error {
	random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	var before *name
	var beforeID queue.ID
	for ctx.Err() == nil {
		names := randomNames(random, w.Run, int(w.commit.Add(1)))
		receipts, err := w.put(ctx, names, random.IntN(32) == 0)
		if err != nil {
			if _, fatal := w.refused(ctx, err); fatal != nil {
				return fatal
			}
			continue
		}
		if before != nil && random.IntN(8) == 0 {
			again, err := w.store.Enqueue(ctx, []queue.NewEvent{before.event(w.Largest)})
			if err != nil {
				if _, fatal := w.refused(ctx, err); fatal != nil {
					return fatal
				}
			} else if !again[0].Duplicate || again[0].ID != beforeID {
				w.say(saysWrong, before, "was stored as", beforeID, "and again as", again[0].ID)
			}
		}
		before, beforeID = names[0], receipts[0].ID
	}
	return nil
}

// put stores a commit, and says so. With twice it does so from two goroutines, of which one must succeed and the other find it there.
func (w *writer) put(ctx context.Context, names []*name, twice bool) ([]queue.Receipt, error) {
	enqueue := func() ([]queue.Receipt, error) {
		events := make([]queue.NewEvent, len(names))
		for i, n := range names {
			events[i] = n.event(w.Largest)
		}
		receipts, err := w.store.Enqueue(ctx, events)
		if err != nil {
			return nil, err
		}
		lines := make([]string, len(receipts))
		for i, r := range receipts {
			lines[i] = sentence(saysAck, names[i], r.ID)
		}
		w.sayAll(lines)
		return receipts, nil
	}
	if !twice {
		return enqueue()
	}
	var other []queue.Receipt
	var otherErr error
	var wg sync.WaitGroup
	wg.Go(func() { other, otherErr = enqueue() })
	receipts, err := enqueue()
	wg.Wait()
	if err != nil || otherErr != nil {
		return nil, errors.Join(err, otherErr)
	}
	for i, r := range receipts {
		if r.Duplicate == other[i].Duplicate {
			w.say(saysWrong, "two copies of", names[i], "sent at the same time:", r, other[i])
		}
	}
	return receipts, nil
}

// count keeps a number in the metadata.
func (w *writer) count(ctx context.Context) error {
	key := fmt.Sprintf("torture/counter%d", w.Run)
	for n := uint64(1); ctx.Err() == nil; n++ {
		if err := w.store.PutMeta(ctx, key, fmt.Append(nil, n)); err == nil {
			w.say(saysMeta, key, n)
		} else if _, fatal := w.refused(ctx, err); fatal != nil {
			return fatal
		}
		pause(ctx, 10*time.Millisecond)
	}
	return nil
}

// Ages at which history is pruned. They are short so that it happens within a test.
const (
	keepDelivered = 200 * time.Millisecond
	keepDead      = 400 * time.Millisecond
)

// maintain prunes what is settled and collects garbage all the time.
func (w *writer) maintain(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := w.store.Maintain(ctx, time.Now(), queue.Retention{Delivered: keepDelivered, Dead: keepDead})
		if err != nil {
			if _, fatal := w.refused(ctx, err); fatal != nil {
				return fatal
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
	return nil
}
