//! A sign of life of the background work. Invariant: an answer is given after its question was asked, by the loop that hands the work
//! out; without one in time nobody is taken to be alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How the background work does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// It goes on.
    Working,
    /// The queue cannot be worked now; it is tried again and again.
    Failing,
    /// Something has been running for longer than its lease.
    Overdue,
    /// Nobody works in this process.
    Stopped,
    /// Nobody answered in time.
    Silent,
}

/// Where questions and answers meet. Asking costs nothing while nobody asks.
#[derive(Debug)]
pub struct Pulse {
    asked: watch::Sender<u64>,
    answered: watch::Sender<(u64, Workers)>,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { asked: watch::Sender::new(0), answered: watch::Sender::new((0, Workers::Silent)) }
    }
}

impl Pulse {
    /// Asks whoever works for a sign of life, and waits for it for so long at most.
    pub async fn ask(&self, patience: Duration) -> Workers {
        let mut answers = self.answered.subscribe();
        let mut question = 0;
        self.asked.send_modify(|count| {
            *count = count.wrapping_add(1);
            question = *count;
        });
        if self.asked.receiver_count() == 0 {
            return Workers::Stopped;
        }
        let answer = tokio::time::timeout(patience, answers.wait_for(|(answered, _)| *answered >= question)).await;
        match answer {
            Ok(Ok(seen)) => seen.1,
            Ok(Err(_)) | Err(_) if self.asked.receiver_count() == 0 => Workers::Stopped,
            Ok(Err(_)) | Err(_) => Workers::Silent,
        }
    }

    /// For the loop that works: from now on it is the one to answer, until it drops this.
    #[must_use]
    pub fn listen(self: &Arc<Self>) -> Questions {
        Questions { asked: self.asked.subscribe(), pulse: Arc::clone(self) }
    }
}

/// The questions that wait for an answer.
#[derive(Debug)]
pub struct Questions {
    asked: watch::Receiver<u64>,
    pulse: Arc<Pulse>,
}

impl Questions {
    /// Waits for a question. It may be given up and called again: no question is lost by that.
    pub async fn next(&mut self) {
        if self.asked.changed().await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }

    /// Answers every question asked so far.
    pub fn answer(&mut self, workers: Workers) {
        let question = *self.asked.borrow_and_update();
        self.pulse.answered.send_replace((question, workers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_silent_and_who_is_gone_is_stopped() {
        let pulse = Arc::new(Pulse::default());
        assert_eq!(pulse.ask(Duration::from_secs(2)).await, Workers::Stopped);
        let questions = pulse.listen();
        assert_eq!(pulse.ask(Duration::from_secs(2)).await, Workers::Silent);
        drop(questions);
        assert_eq!(pulse.ask(Duration::from_secs(2)).await, Workers::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_is_none_to_a_new_question() {
        let pulse = Arc::new(Pulse::default());
        let mut questions = pulse.listen();
        let (answer, ()) = tokio::join!(pulse.ask(Duration::from_secs(2)), async {
            questions.next().await;
            questions.answer(Workers::Working);
        });
        assert_eq!(answer, Workers::Working);
        assert_eq!(pulse.ask(Duration::from_secs(2)).await, Workers::Silent);
    }

    #[tokio::test(start_paused = true)]
    async fn one_answer_serves_all_who_asked_before_it() {
        let pulse = Arc::new(Pulse::default());
        let mut questions = pulse.listen();
        let (first, second, ()) = tokio::join!(pulse.ask(Duration::from_secs(2)), pulse.ask(Duration::from_secs(2)), async {
            questions.next().await;
            tokio::task::yield_now().await;
            questions.answer(Workers::Failing);
        });
        assert_eq!((first, second), (Workers::Failing, Workers::Failing));
    }
}
