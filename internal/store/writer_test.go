package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errFull = errors.New("no space left on device")

// disk takes numbers. It fails, or hangs, when it is told to.
type disk struct {
	mu   sync.Mutex
	got  []int
	fail error
	hang time.Duration
	n    int // writes
}

func (d *disk) write(x *[]int) error {
	d.mu.Lock()
	fail, hang := d.fail, d.hang
	d.n++
	d.mu.Unlock()
	time.Sleep(hang)
	d.mu.Lock()
	defer d.mu.Unlock()
	if fail == nil {
		d.got = append(d.got, *x...)
	}
	return fail
}

func (d *disk) set(fail error, hang time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.hang = fail, hang
}

func inWriter(t *testing.T, fn func(t *testing.T, d *disk, w *Writer[[]int])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		w := NewWriter(d.write, func(into *[]int, newer []int) { *into = append(*into, newer...) }, nil)
		fn(t, d, w)
		_ = w.Close(t.Context())
		<-w.done
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAHangingDiskDelaysNoRequest(t *testing.T) {
	inWriter(t, func(t *testing.T, d *disk, w *Writer[[]int]) {
		d.set(nil, 10*time.Second)
		start := time.Now()
		first := w.Add([]int{1})
		time.Sleep(time.Second)
		second := w.Add([]int{2})
		third := w.Add([]int{3})
		if took := time.Since(start); took != time.Second {
			t.Errorf("Add took %s", took-time.Second)
		}
		if err := w.Wait(within(t, 800*time.Millisecond), first); !errors.Is(err, ErrSlow) {
			t.Errorf("Wait: %v, want ErrSlow", err)
		}
		if err := w.Err(); err != nil {
			t.Errorf("after 1.8 s: %v", err)
		}
		time.Sleep(200 * time.Millisecond)
		if err := w.Err(); !errors.Is(err, ErrSlow) {
			t.Errorf("after 2 s: %v, want ErrSlow", err)
		}
		if err := w.Wait(t.Context(), first); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("Wait: %v after %s", err, time.Since(start))
		}
		d.set(nil, 0)
		for _, ticket := range []uint64{second, third} {
			if err := w.Wait(t.Context(), ticket); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(d.got, []int{1, 2, 3}) || d.n != 2 {
			t.Errorf("written %v in %d writes", d.got, d.n)
		}
		if err := w.Err(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFailedWriteIsRepeatedBeforeNewerOnes(t *testing.T) {
	inWriter(t, func(t *testing.T, d *disk, w *Writer[[]int]) {
		d.set(errFull, 0)
		first := w.Add([]int{1})
		if err := w.Wait(t.Context(), first); !errors.Is(err, errFull) {
			t.Errorf("Wait: %v", err)
		}
		if err := w.Wait(t.Context(), first); !errors.Is(err, errFull) {
			t.Errorf("Wait, late: %v", err)
		}
		if err := w.Err(); !errors.Is(err, errFull) {
			t.Errorf("Err: %v", err)
		}
		d.set(nil, 0)
		second := w.Add([]int{2})
		if err := errors.Join(w.Wait(t.Context(), second), w.Wait(t.Context(), first), w.Err()); err != nil {
			t.Error(err)
		}
		if !slices.Equal(d.got, []int{1, 2}) {
			t.Errorf("written %v", d.got)
		}
	})
}

func TestAFailedWriteIsRetried(t *testing.T) {
	inWriter(t, func(t *testing.T, d *disk, w *Writer[[]int]) {
		d.set(errFull, 0)
		w.Add([]int{1})
		synctest.Wait()
		d.set(nil, 0)
		time.Sleep(retryAfter)
		synctest.Wait()
		if err := w.Err(); err != nil || !slices.Equal(d.got, []int{1}) {
			t.Errorf("%v, written %v", err, d.got)
		}
	})
}

func TestCloseRetriesAFailedWriteOnce(t *testing.T) {
	for name, x := range map[string]struct {
		fail, want error
		hang       time.Duration
		got        []int
	}{
		"written": {nil, nil, 0, []int{1, 2}},
		"full":    {errFull, errFull, 0, nil},
		"hangs":   {nil, ErrSlow, time.Minute, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inWriter(t, func(t *testing.T, d *disk, w *Writer[[]int]) {
				d.set(errFull, 0)
				w.Add([]int{1})
				synctest.Wait()
				d.set(x.fail, x.hang)
				w.Add([]int{2})
				start := time.Now()
				if err := w.Close(within(t, time.Second)); !errors.Is(err, x.want) || time.Since(start) > time.Second {
					t.Errorf("Close: %v after %s, want %v", err, time.Since(start), x.want)
				}
				d.mu.Lock()
				defer d.mu.Unlock()
				if !slices.Equal(d.got, x.got) {
					t.Errorf("written %v", d.got)
				}
			})
		})
	}
}

func TestAPanicIsAFailedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWriter(func(*int) error { panic("broken") }, func(*int, int) {}, nil)
		if err := w.Wait(t.Context(), w.Add(1)); err == nil {
			t.Error("no error")
		}
		_ = w.Close(t.Context())
	})
}
