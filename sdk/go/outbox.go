package fn

import (
	"runtime"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/fn-platform/fn/sdk/go/internal/pluginv1"
)

const (
	defaultBatchFrames = 64
	maxBatchBytes      = 64 << 10
	// maxQueuedFrames holds back log lines while the host reads slowly; results are bounded by the host's credit.
	maxQueuedFrames = 4096
	// settleRounds bounds how often the writer lets others run before it sends.
	settleRounds = 4
)

// outbox gathers the frames of a stream into as few envelopes as they fit in: that is where the throughput is.
type outbox struct {
	// dispatching is held while one envelope's calls are started: their results should leave together, not one by one.
	dispatching sync.Mutex

	mu     sync.Mutex
	queue  []*pluginv1.PluginFrame
	closed bool
	filled sync.Cond
	taken  sync.Cond
}

func newOutbox() *outbox {
	box := &outbox{}
	box.filled.L = &box.mu
	box.taken.L = &box.mu
	return box
}

// add queues a frame; never blocks.
func (box *outbox) add(frame *pluginv1.PluginFrame) {
	box.mu.Lock()
	box.queue = append(box.queue, frame)
	box.mu.Unlock()
	box.filled.Signal()
}

// wait blocks while more is queued than a host should be sent log lines on top of.
func (box *outbox) wait() {
	box.mu.Lock()
	for len(box.queue) > maxQueuedFrames && !box.closed {
		box.taken.Wait()
	}
	box.mu.Unlock()
}

// close lets write end when all is sent.
func (box *outbox) close() {
	box.mu.Lock()
	box.closed = true
	box.mu.Unlock()
	box.filled.Broadcast()
	box.taken.Broadcast()
}

// write sends until the outbox is closed and empty. After a failure frames are taken all the same: whoever waits must not wait for ever.
func (box *outbox) write(send func(*pluginv1.PluginEnvelope) error) (failure error) {
	for {
		if !box.awaitFrames() {
			return failure
		}
		box.settle()
		batch := box.take()
		if failure == nil {
			failure = send(&pluginv1.PluginEnvelope{Frames: batch})
		}
	}
}

func (box *outbox) awaitFrames() bool {
	box.mu.Lock()
	defer box.mu.Unlock()
	for len(box.queue) == 0 && !box.closed {
		box.filled.Wait()
	}
	return len(box.queue) > 0
}

// settle lets every call that can end now do so first.
func (box *outbox) settle() {
	box.dispatching.Lock()
	box.dispatching.Unlock() //nolint:staticcheck // only to wait for who holds it
	for round, before := 0, -1; round < settleRounds; round++ {
		runtime.Gosched()
		box.mu.Lock()
		queued := len(box.queue)
		box.mu.Unlock()
		if queued == before || queued >= defaultBatchFrames {
			return
		}
		before = queued
	}
}

func (box *outbox) take() []*pluginv1.PluginFrame {
	box.mu.Lock()
	defer box.mu.Unlock()
	count, size := 0, 0
	for _, frame := range box.queue {
		size += proto.Size(frame)
		if count == defaultBatchFrames || (count > 0 && size > maxBatchBytes) {
			break
		}
		count++
	}
	batch := box.queue[:count:count]
	box.queue = box.queue[count:]
	box.taken.Broadcast()
	return batch
}
