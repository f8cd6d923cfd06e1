// Package pool runs jobs on a fixed number of workers, with retries and a deadline for each job.
package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is returned when a job is submitted to a pool that was closed.
var ErrClosed = errors.New("pool: closed")

// Job is a unit of work; it must return soon after its context is done.
type Job func(ctx context.Context) error

// Options says how a pool works. The zero value means one worker, no retries and no deadline.
type Options struct {
	Workers int
	Retries int
	Backoff time.Duration
	Timeout time.Duration
}

// Result tells how a job ended.
type Result struct {
	Name     string
	Attempts int
	Elapsed  time.Duration
	Err      error
}

type task struct {
	name string
	job  Job
	done chan<- Result
}

// Pool owns its workers until Close is called.
type Pool struct {
	options Options
	tasks   chan task
	wait    sync.WaitGroup
	mutex   sync.Mutex
	closed  bool
}

// New starts the workers.
func New(options Options) *Pool {
	if options.Workers < 1 {
		options.Workers = 1
	}
	pool := &Pool{options: options, tasks: make(chan task)}
	for i := 0; i < options.Workers; i++ {
		pool.wait.Add(1)
		go pool.work()
	}
	return pool
}

// Submit hands a job to the next free worker and returns where its result will arrive.
func (p *Pool) Submit(name string, job Job) (<-chan Result, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	done := make(chan Result, 1)
	p.tasks <- task{name: name, job: job, done: done}
	return done, nil
}

// Close lets the workers finish what they are at, and waits for them.
func (p *Pool) Close() {
	p.mutex.Lock()
	if p.closed {
		p.mutex.Unlock()
		return
	}
	p.closed = true
	close(p.tasks)
	p.mutex.Unlock()
	p.wait.Wait()
}

func (p *Pool) work() {
	defer p.wait.Done()
	for task := range p.tasks {
		task.done <- p.run(task)
	}
}

func (p *Pool) run(task task) Result {
	started := time.Now()
	result := Result{Name: task.name}
	for attempt := 0; attempt <= p.options.Retries; attempt++ {
		if attempt > 0 {
			time.Sleep(p.options.Backoff << (attempt - 1))
		}
		result.Attempts++
		result.Err = p.attempt(task)
		if result.Err == nil {
			break
		}
	}
	result.Elapsed = time.Since(started)
	return result
}

func (p *Pool) attempt(task task) (err error) {
	ctx := context.Background()
	if p.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.options.Timeout)
		defer cancel()
	}
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("pool: job %q panicked: %v", task.name, reason)
		}
	}()
	return task.job(ctx)
}

// Failed returns the results of the jobs that did not succeed.
func Failed(results []Result) []Result {
	var failed []Result
	for _, result := range results {
		if result.Err != nil {
			failed = append(failed, result)
		}
	}
	return failed
}

// Summary describes a batch of results in one line.
func Summary(results []Result) string {
	var total time.Duration
	for _, result := range results {
		total += result.Elapsed
	}
	return fmt.Sprintf("%d jobs, %d failed, %s", len(results), len(Failed(results)), total)
}
