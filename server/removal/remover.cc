#include "server/removal/remover.h"

#include <chrono>

#include "engine/base/status.h"
#include "server/log/log.h"

namespace hone::server::removal {
namespace {

using store::Folder;

constexpr int kAtOnce = 100;
// After which what could not be removed is tried again.
constexpr std::chrono::minutes kAgainAfter(1);

}  // namespace

Remover::Remover(const store::JobStore& store, store::Writer& writer,
                 const artifacts::DataDirectory& directory)
    : store_(store), writer_(writer), directory_(directory) {}

Remover::~Remover() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

absl::Status Remover::Start() {
  HONE_ASSIGN_OR_RETURN(const std::vector<Folder> drafts,
                        store_.FoldersToRemove(Folder::Kind::kDraft, -1));
  HONE_RETURN_IF_ERROR(Remove(drafts));
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

void Remover::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

bool Remover::Stopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void Remover::Loop() {
  while (!Stopping()) {
    if (const absl::Status status = RemoveAll(); !status.ok()) {
      log::Warning("what is to be removed could not be removed yet",
                   {{"error", status.ToString()}});
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kAgainAfter, [this] { return woken_ || stopping_; });
    woken_ = false;
  }
}

absl::Status Remover::RemoveAll() {
  for (const Folder::Kind kind : {Folder::Kind::kRun, Folder::Kind::kModel}) {
    std::vector<Folder> folders;
    do {
      HONE_ASSIGN_OR_RETURN(folders, store_.FoldersToRemove(kind, kAtOnce));
      HONE_RETURN_IF_ERROR(Remove(folders));
    } while (!folders.empty() && !Stopping());
  }
  return absl::OkStatus();
}

absl::Status Remover::Remove(const std::vector<Folder>& folders) {
  for (const Folder& folder : folders) {
    HONE_RETURN_IF_ERROR(folder.kind == Folder::Kind::kRun ? directory_.RemoveRun(folder.id)
                                                           : directory_.RemoveModel(folder.id));
    HONE_RETURN_IF_ERROR(
        writer_.RunStatus([&](store::JobStore& store) { return store.FolderIsRemoved(folder); }));
  }
  return absl::OkStatus();
}

}  // namespace hone::server::removal
