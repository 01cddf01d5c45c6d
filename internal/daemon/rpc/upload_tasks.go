package rpc

import (
	"context"
	"errors"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// StatTask answers with what the task's scheduler knows of it.
func (u *Upload) StatTask(ctx context.Context, m *dfdaemonv2.StatTaskRequest) (*commonv2.Task, error) {
	id, err := taskOf(m.GetTaskId())
	if err == nil && u.cfg.Scheduler == nil {
		err = &darter.Error{Kind: darter.Unavailable, Op: "stat task " + id.Short(), Err: errors.New("this host works without a scheduler")}
	}
	if err != nil {
		return nil, wire.Status(err)
	}
	t, err := u.cfg.Scheduler.StatTask(ctx, id)
	return t, wire.Status(err)
}

// StatLocalTask answers with what this host holds of a task.
func (u *Upload) StatLocalTask(_ context.Context, m *dfdaemonv2.StatLocalTaskRequest) (*dfdaemonv2.StatLocalTaskResponse, error) {
	id, err := taskOf(m.GetTaskId())
	if err != nil {
		return nil, wire.Status(err)
	}
	t, err := u.cfg.Tasks.Find(id)
	if err != nil {
		return nil, wire.Status(err)
	}
	return localTask(t.Info(), u.cfg.Tasks.Uploads), nil
}

// DeleteTask withdraws a task from its scheduler and then deletes it here. A scheduler that cannot be reached keeps
// nobody from deleting: it hears of the loss when a child finds nothing.
func (u *Upload) DeleteTask(ctx context.Context, m *dfdaemonv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	id, err := taskOf(m.GetTaskId())
	if err == nil {
		_, err = u.cfg.Tasks.Find(id)
	}
	if err != nil {
		return nil, wire.Status(err)
	}
	if u.cfg.Scheduler != nil {
		if err := u.cfg.Scheduler.DeleteTask(ctx, id); err != nil && !worthResting(err) {
			return nil, wire.Status(err)
		}
	}
	if err := u.cfg.Tasks.Remove(id); err != nil {
		return nil, wire.Status(err)
	}
	return &emptypb.Empty{}, nil
}
